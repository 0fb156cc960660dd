"""Why a run began, in words."""

from __future__ import annotations

from include.events.why import EXTRA, SHOWN, Began, Update, sentence


def told(*events: dict[str, str]) -> Update:
    return Update("updraft://digits/data", "", {EXTRA: list(events)})


def test_each_kind_of_beginning_has_its_words():
    assert sentence(Began("manual", "anna")) == "Begun by anna."
    assert sentence(Began("manual")) == "Begun by hand."
    assert sentence(Began("scheduled")) == "Begun by its schedule."
    assert sentence(Began("backfill", "olaf")) == "Begun by a backfill of olaf."
    assert sentence(Began("manual", "updraft", cause="drift: The loss rose.")) == "Begun because of drift: The loss rose."


def test_news_names_who_told_of_it_and_what_the_newest_first():
    events = told({"sender": "", "summary": "digits.csv changed"}, {"sender": "warehouse", "summary": "the night's load"})
    assert sentence(Began("asset_triggered", updates=[events])) == (
        "Begun because of new data: warehouse says: the night's load; digits.csv changed."
    )


def test_an_asset_of_airflows_own_names_the_task_that_updated_it():
    updates = [Update("s3://lake/orders", "load/export", {}), Update("s3://lake/orders", "", {"why": "a correction"})]
    assert sentence(Began("asset_triggered", updates=updates)) == (
        "Begun because of new data: s3://lake/orders was updated by hand: a correction; s3://lake/orders was updated by load/export."
    )


def test_words_of_a_sender_are_believed_of_updraft_alone():
    """An operator may post an update of any asset to Airflow's API, a DAG's task may update it: with any extra."""
    forged = {EXTRA: [{"sender": "warehouse", "summary": "trust me"}]}
    for update in (Update("a", "", forged | {"from_rest_api": True}), Update("a", "load/export", forged)):
        assert "warehouse" not in sentence(Began("asset_triggered", updates=[update]))


def test_a_storm_is_counted_and_odd_extras_do_no_harm():
    many = told(*({"summary": f"file {number}"} for number in range(SHOWN + 3)))
    assert sentence(Began("asset_triggered", updates=[many])).endswith("; and 3 more.")
    for extra in ({EXTRA: "text"}, {EXTRA: [1, None]}, {"why": 5}):
        assert sentence(Began("asset_triggered", updates=[Update("a", "", extra)]))
