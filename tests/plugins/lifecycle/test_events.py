"""How news of data starts a model's lifecycle: one run for all that is new. Airflow's tables are real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetEvent, AssetModel, DagScheduleAssetReference
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG as Dag
from airflow.serialization.serialized_objects import DagSerialization
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from include.kinds.load import load
from include.runtime.settings import REPO
from include.spec.schema import On, Spec
from lifecycle.data_files import DataFiles, digest_of, files_of
from lifecycle.db import began, events, holds
from lifecycle.db.models import Act, Event
from lifecycle.schedule import data_asset, schedule
from tests.include.kinds.tensor.test_tensor_faults import GOOD, written

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAG = "digits_lifecycle"
DIGITS = load(REPO / "include" / "models" / "digits" / "model.yaml").model_copy(update={"on": On(file=True, webhook=True)})
SPECS: dict[str, Spec] = {"digits": DIGITS}


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """With the lifecycle's DAG as Airflow knows it, scheduled by the model's asset."""
    with Session(engine) as session:
        session.add(DagBundleModel(name="b"))
        session.flush()
        asset = data_asset("digits")
        session.add(DagModel(dag_id=DAG, bundle_name="b", fileloc="x", is_paused=False, is_stale=False))
        model = AssetModel(name=asset.name, uri=asset.uri, group="asset")
        session.add(model)
        session.flush()
        session.add_all([AssetActive(name=asset.name, uri=asset.uri), DagScheduleAssetReference(dag_id=DAG, asset_id=model.id)])
        session.commit()
        yield session


def news(session: Session, *ids: str) -> None:
    for name in ids:
        events.keep(session, name, "digits", "warehouse", f"load {name}", name, NOW)
    session.commit()


def tell(session: Session, specs: dict[str, Spec] = SPECS) -> list[str]:
    said = events.tell(session, specs, NOW)
    session.commit()
    return said


def updates(session: Session) -> list[AssetEvent]:
    return list(session.scalars(select(AssetEvent)))


def states(session: Session) -> set[str]:
    return set(session.scalars(select(Event.state)))


def test_all_news_is_one_update_of_the_asset_and_it_is_told_once(session: Session):
    news(session, "a", "b")
    assert len(tell(session)) == 1 and tell(session) == []
    (update,) = updates(session)
    assert [one["summary"] for one in update.extra["updraft"]] == ["load a", "load b"]
    assert list(session.scalars(select(AssetDagRunQueue.target_dag_id))) == [DAG] and states(session) == {"TOLD"}


def test_a_flood_is_named_in_part_and_counted(session: Session):
    news(session, *(f"{number:03}" for number in range(events.SHOWN + 5)))
    tell(session)
    assert updates(session)[0].extra["updraft"][-1]["summary"] == "5 more"


def test_killed_before_the_commit_nothing_is_told_and_nothing_is_lost(session: Session):
    news(session, "a")
    events.tell(session, SPECS, NOW)
    session.rollback()
    assert not updates(session) and states(session) == {"WAITING"}
    tell(session)
    assert len(updates(session)) == 1


@pytest.mark.parametrize("what", ["a run is under way", "paused", "held", "not known to Airflow"])
def test_news_waits(session: Session, what: str):
    if what == "a run is under way":
        session.add(DagRun(DAG, run_id="r", run_type="manual", state="running", run_after=NOW))
    elif what == "paused":
        session.get_one(DagModel, DAG).is_paused = True
    elif what == "held":
        holds.set_hold(session, "digits", True, "anna", "a fair", NOW)
    else:
        session.delete(session.scalars(select(DagScheduleAssetReference)).one())
    session.commit()
    news(session, "a")
    assert tell(session) == [] and states(session) == {"WAITING"} and not updates(session)


def test_once_the_run_has_ended_what_came_meanwhile_is_told(session: Session):
    run = DagRun(DAG, run_id="r", run_type="manual", state="running", run_after=NOW)
    session.add(run)
    news(session, "a", "b")
    assert not tell(session)
    run.state = "success"
    session.commit()
    assert len(tell(session)) == 1 and len(updates(session)) == 1


def test_news_of_what_asks_for_none_is_dropped(session: Session):
    news(session, "a")
    unasked = {"digits": DIGITS.model_copy(update={"on": On()})}
    assert "asks for none" in tell(session, unasked)[0] and states(session) == {"DROPPED"} and not updates(session)


def test_news_waits_while_the_spec_is_broken_and_not_for_ever(session: Session):
    news(session, "a")
    assert tell(session, {}) == [] and states(session) == {"WAITING"}
    assert "broken for long" in events.tell(session, {}, NOW + timedelta(days=8))[0] and states(session) == {"DROPPED"}


def test_a_run_says_why_it_began(session: Session):
    news(session, "a")
    tell(session)
    by_news = DagRun(DAG, run_id="n", run_type="asset_triggered", state="success", run_after=NOW)
    by_news.consumed_asset_events.append(updates(session)[0])
    by_act = DagRun(DAG, run_id="act__1", run_type="manual", state="success", run_after=NOW, triggering_user_name="updraft")
    by_hand = DagRun(DAG, run_id="h", run_type="manual", state="success", run_after=NOW, triggering_user_name="anna")
    same = {"model": "digits", "act": "retrain", "state": "BEGUN", "cause": "c", "at": NOW}
    session.add_all([by_news, by_act, by_hand, Act(id="1", name="drift", summary="The loss rose.", run_key=f"{DAG}/act__1", **same)])
    session.commit()
    assert began.why(session, [by_news.id, by_act.id, by_hand.id]) == {
        by_news.id: "Begun because of new data: warehouse says: load a.",
        by_act.id: "Begun because of drift: The loss rose.",
        by_hand.id: "Begun by anna.",
    }
    assert began.of(session, DAG, "h") == "Begun by anna." and began.of(session, DAG, "none") is None


class Folder:
    """A model's folder whose files are looked at, each time by the same process unless it is begun anew."""

    def __init__(self, session: Session, models: Path) -> None:
        self.session, self.path = session, models / "digits"
        self.path.mkdir(parents=True)
        self.said: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.files = DataFiles(self.path.parent, self.said.append)

    def write(self, text: str, name: str = "rows.csv") -> None:
        (self.path / name).write_text(text)
        os.utime(self.path / name, ns=(0, hash(text) % 10**9))

    def look(self, times: int = 2) -> list[str]:
        for _ in range(times):
            self.files.round(self.session, SPECS, NOW + timedelta(seconds=len(self.all)))
        return [row.summary for row in self.all if row.state == "WAITING"]

    @property
    def all(self) -> list[Event]:
        return list(self.session.scalars(select(Event).order_by(Event.at)))


@pytest.fixture
def folder(session: Session, tmp_path: Path) -> Folder:
    return Folder(session, tmp_path / "models")


def test_files_as_they_are_found_first_are_no_news_and_a_change_is(folder: Folder):
    folder.write("1")
    assert folder.look() == [] and len(folder.all) == 1
    folder.write("2")
    assert folder.look() == ["rows.csv changed"] and folder.look(4) == ["rows.csv changed"]


def test_a_file_that_is_still_written_waits_until_it_is_not(folder: Folder):
    folder.write("1")
    folder.look()
    for text in ("2", "23", "234"):
        folder.write(text)
        assert folder.look(1) == []
    assert folder.look(1) == ["rows.csv changed"]


def test_what_changed_while_nobody_looked_is_news_and_the_same_content_is_none(folder: Folder):
    folder.write("1")
    folder.look()
    folder.begin()
    os.utime(folder.path / "rows.csv")
    assert folder.look() == []
    folder.begin()
    folder.write("2")
    assert folder.look() == ["the data changed"]
    folder.write("3")
    assert folder.look()[-1] == "rows.csv changed"


def test_the_files_below_a_folder_are_data_but_for_code_and_hidden_ones(tmp_path: Path):
    for name in ("photos/b.png", "photos/more/a.png", "rows.csv", "train.py", "model.yaml", ".hidden.csv", ".git/x", "__pycache__/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = files_of([tmp_path / "rows.csv", tmp_path])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["photos/b.png", "photos/more/a.png", "rows.csv"]
    before = digest_of(found, tmp_path)
    (tmp_path / "photos/b.png").rename(tmp_path / "photos/more/b.png")
    assert digest_of(files_of([tmp_path]), tmp_path) != before


def test_a_changed_picture_is_news(session: Session, tmp_path: Path):
    path = written(tmp_path, data=GOOD["data"] | {"images": {"a": {}}}, serve={"wrapper": "serving:Wrapper"}, on={"file": True})
    spec, said = load(path), list[str]()
    files = DataFiles(tmp_path, said.append)
    for content in ("1", "22"):
        (path.parent / "photos").mkdir(exist_ok=True)
        (path.parent / "photos" / "a.png").write_text(content)
        for _ in range(2):
            files.round(session, {"thing": spec}, NOW)
    assert said == ["thing: a.png changed."]


def test_there_and_back_again_is_news_twice(folder: Folder):
    for text in ("1", "2", "1"):
        folder.write(text)
        folder.look()
    assert folder.look() == ["rows.csv changed"] * 2


def test_a_new_file_and_one_that_is_gone_are_news(folder: Folder):
    folder.write("1")
    folder.look()
    folder.write("2", "more.csv")
    assert folder.look() == ["more.csv changed"]
    (folder.path / "rows.csv").unlink()
    assert folder.look()[-1] == "rows.csv gone"


@pytest.mark.parametrize("clock", [None, "@daily", "30 2 * * *"])
@pytest.mark.parametrize("on", [On(), On(file=True), On(assets=("s3://lake/orders", "orders", "file:///data/x.csv", "file://x"))], ids=str)
def test_a_dag_takes_every_schedule_with_every_asset(clock: str | None, on: On):
    dag = Dag("one", schedule=schedule(DIGITS.model_copy(update={"schedule": clock, "on": on})))
    kept = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    names = {asset.name for _, asset in kept.asset_condition.iter_assets()} if on.anything else set()
    assert names == ({"digits_data", *on.assets} if on.anything else set())
