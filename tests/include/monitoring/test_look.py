"""One look at production: what it is called, and what bad input comes to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from include.errors import ComponentError
from include.evidence.recompute import difference
from include.monitoring import change, look, watching
from include.monitoring.change import MOST_SENTENCES
from include.monitoring.rows import Reference
from include.verdict import Decision
from tests.include.monitoring.frames import HOUR, NOON, Production, drawn, logged, reference, told


@pytest.fixture
def production(tmp_path):
    return Production(tmp_path)


@pytest.fixture(scope="module")
def known():
    return reference()


def named(verdict) -> dict:
    return {rule.name: rule for rule in verdict.rules}


@pytest.mark.slow
def test_production_as_it_was_held_out_passes(production, known):
    production.expect()
    production.rows.append(logged(drawn(np.random.default_rng(1), 400), NOON))
    found, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert set(named(verdict)) == {"harm, by labels", "harm, estimated", "quality of what arrives", "columns", "change of values"}
    assert named(verdict)["harm, by labels"].passed is None
    assert found["quality"]["expectations"] == 3  # of its columns' values alone, the column that is not there left out
    assert (production.folder / "change.html").stat().st_size > 10_000


def test_harm_by_labels_is_an_alarm(production, known):
    rng = np.random.default_rng(2)
    frame = drawn(rng, 600, wrong=0.25)
    rows = logged(frame, NOON)
    production.rows.append(rows)
    first, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.PASS  # its confidence is as it was, and nobody has said otherwise
    production.labels.append(told(rows, frame["truth"], NOON + 1.5 * HOUR))
    _, verdict = production.look(known, first, NOON + 2 * HOUR)
    assert verdict.decision is Decision.ALARM
    assert verdict.reasons[0].startswith("By labels the loss is proven to have risen")


def test_each_label_counts_once(production, known):
    frame = drawn(np.random.default_rng(3), 300)
    rows = logged(frame, NOON)
    production.rows.append(rows)
    production.labels.append(told(rows, frame["truth"], NOON + 0.5 * HOUR))
    first, _ = production.look(known, None, NOON + HOUR)
    second, verdict = production.look(known, first, NOON + 2 * HOUR)
    assert (first["seen"]["labelled"], second["seen"]["labelled"]) == (300, 0)
    assert second["opening"]["harm"]["rows"] == 300
    assert verdict.decision is Decision.NOT_KNOWN and "no row has come" in verdict.reasons[0]


def test_change_alone_is_a_notice(production, known):
    frame = drawn(np.random.default_rng(4), 400)
    production.rows.append(logged(frame.assign(**{"inputs.age": frame["inputs.age"] + 15}), NOON))
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.NOTICE
    assert verdict.reasons == ("The values of 1 of 3 columns have changed: age.",)


def test_of_many_changed_columns_the_first_few_are_named():
    changed = {"columns": [], "p_values": {f"c{number:02}": 1e-9 * (number + 1) for number in range(30)}}
    found = watching.verdict(watching.evidence(since=None, until="2026-12-01T00:00:00Z", rows=400, change=changed, unknown=["x"]))
    assert "The values of 30 of 30 columns have changed: c00, c01, c02, c03, c04, and 25 more." in found.reasons


def test_what_breaks_the_models_expectations_is_a_notice(production, known):
    production.expect()
    frame = drawn(np.random.default_rng(5), 400)
    frame.loc[7, "inputs.age"] = -3.0
    production.rows.append(logged(frame, NOON))
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.NOTICE
    assert "expect_column_values_to_be_between (age): 1 of 400 rows" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda rows: rows.drop(columns="inputs.age"), "age: has vanished."),
        (lambda rows: rows.assign(**{"inputs.shoe": 42}), "shoe: is new."),
        (lambda rows: rows.assign(**{"inputs.age": "old"}), "age: held numbers, now texts (such as 'old')."),
        (lambda rows: rows.assign(**{"inputs.city": 3.5}), "city: held texts, now numbers (such as '3.5')."),
        (lambda rows: rows.assign(**{"inputs.age": None}), "age: no row has a value."),
    ],
)
def test_a_column_that_is_not_what_it_was_is_a_notice_that_names_it(production, known, broken, said):
    production.rows.append(broken(logged(drawn(np.random.default_rng(6), 100), NOON)))
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.NOTICE
    assert said in " ".join(verdict.reasons)


def test_callers_texts_cannot_end_the_script_that_holds_them(production, known):
    rows = logged(drawn(np.random.default_rng(6), 100), NOON)
    production.rows.append(rows.assign(**{"inputs.city": "</script><script>alert(1)</script><!--"}))
    production.look(known, None, NOON + HOUR)
    page = (production.folder / "change.html").read_text()
    assert "\\u003c/script>\\u003cscript>alert(1)" in page and "<script>alert" not in page
    with pytest.raises(ValueError, match="another form"):
        change.inert("<script>var data = {}</script>")


def test_names_that_callers_make_up_are_cut_in_sentences_and_so_is_their_number(production, known):
    rows = logged(drawn(np.random.default_rng(6), 100), NOON)
    production.rows.append(rows.assign(**{f"inputs.{number}{'x' * 5000}": 1 for number in range(300)}))
    found, verdict = production.look(known, None, NOON + HOUR)
    assert len(" ".join(verdict.reasons)) < 100 * MOST_SENTENCES and found["change"]["columns"][-1] == "And 250 more."


def test_a_column_that_the_log_hides_is_no_change(production, known):
    production.subject = replace(production.subject, hidden=frozenset({"city"}))
    rows = logged(drawn(np.random.default_rng(6), 100), NOON)
    production.rows.append(rows.assign(**{"inputs.city": "hmac:abc"}))
    found, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert set(found["change"]["p_values"]) == {"age", "the model's answer"}


def test_a_column_of_numbers_and_texts_is_looked_at_too(production, known):
    production.expect()
    rows = logged(drawn(np.random.default_rng(7), 100), NOON)
    rows["inputs.age"] = [value if number % 2 else "?" for number, value in enumerate(rows["inputs.age"])]
    production.rows.append(rows)
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.NOTICE


def test_one_row_tells_nothing_of_change(production, known):
    production.rows.append(logged(drawn(np.random.default_rng(8), 1), NOON))
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.NOT_KNOWN
    assert "1 rows since the last look, and 50 are needed" in verdict.reasons[-1]


def test_columns_that_never_vary_are_no_change(production):
    frame = drawn(np.random.default_rng(0), 2_000).assign(**{"inputs.age": 1.0, "inputs.city": "Bonn"})
    same = Reference.of(frame, classification=True)
    production.rows.append(logged(drawn(np.random.default_rng(9), 100).assign(**{"inputs.age": 1.0, "inputs.city": "Bonn"}), NOON))
    _, verdict = production.look(same, None, NOON + HOUR)
    assert verdict.decision is Decision.PASS, verdict.reasons


@pytest.mark.parametrize("rows", [0, 200])
def test_without_a_reference_nothing_is_known(production, rows):
    production.rows.append(logged(drawn(np.random.default_rng(10), rows), NOON))
    found, verdict = production.look("version 3 has no reference.", None, NOON + HOUR)
    assert verdict.decision is Decision.NOT_KNOWN
    assert verdict.reasons == ("Harm and change are not known: version 3 has no reference.",)
    assert found["opening"] is None and found["rows"] == rows


def test_a_clock_that_went_back_looks_at_nothing_until_it_has_caught_up(production, known):
    production.rows.append(logged(drawn(np.random.default_rng(11), 200), NOON))
    first, _ = production.look(known, None, NOON + HOUR)
    back, verdict = production.look(known, first, NOON + 0.5 * HOUR)
    assert verdict.decision is Decision.NOT_KNOWN and "the clock stands before" in verdict.reasons[0]
    production.rows.append(logged(drawn(np.random.default_rng(12), 200), NOON + 1.5 * HOUR, "s"))
    after, verdict = production.look(known, back, NOON + 2 * HOUR)
    assert (after["rows"], after["opening"]["estimate"]["test"]["rows"]) == (200, 200)
    assert verdict.decision is Decision.PASS


def test_labels_that_cant_be_read_are_for_the_next_look(production, known):
    frame = drawn(np.random.default_rng(13), 200)
    rows = logged(frame, NOON)
    production.rows.append(rows)

    def down():
        raise ComponentError("no answer", where="Airflow")

    found = look.look(
        production.subject, look.Log(production.predictions, down), known, None, NOON + HOUR, production.folder / "change.html"
    )
    assert found["seen"]["labelled"] == 0 and "Airflow: no answer" in " ".join(found["unknown"])


def test_the_same_look_taken_again_finds_the_same(production, known):
    production.rows.append(logged(drawn(np.random.default_rng(14), 200), NOON))
    first, _ = production.look(known, None, NOON + 0.1 * HOUR)
    found, verdict = production.look(known, first, NOON + HOUR)
    again, same = production.look(known, json.loads(json.dumps(first)), NOON + HOUR)
    assert (found, verdict) == (again, same)
    assert difference("drift", json.loads(json.dumps(verdict.to_json()))) is None


def test_of_two_looks_at_once_the_next_goes_on_from_one_and_no_label_counts_twice(production, known):
    rows = logged(drawn(np.random.default_rng(11), 200), NOON)
    production.rows.append(rows)
    production.labels.append(told(rows, [0] * 200, NOON + HOUR / 2))
    first, _ = production.look(known, None, NOON + HOUR)
    second, _ = production.look(known, None, NOON + HOUR)  # begun by hand, before the first one's verdict was kept
    assert first == second
    after, _ = production.look(known, second, NOON + 2 * HOUR)
    assert after["seen"]["labelled"] == 0 and watching.closing(after).harm.rows[0] == 200


def test_the_last_look_is_of_the_same_version_by_another_run():
    def row(run: str, version: int, kind: str = "drift") -> dict:
        return {"kind": kind, "version": version, "run_key": run, "body": {"evidence": {"of": run}}}

    rows = [row("c", 3), row("w", 3, "watch"), row("b", 2), row("a", 3)]
    assert look.before(rows, 3, "c") == {"of": "a"}
    assert look.before(rows, 3, "d") == {"of": "c"}
    assert look.before(rows, 9, "d") is None


def test_numbers_have_a_loss_of_a_tenth_as_held_out_and_no_estimate(production):
    rng = np.random.default_rng(15)
    truth = rng.normal(100, 10, 2_000)
    frame = pd.DataFrame({"inputs.age": truth, "outputs.prediction": truth + rng.normal(0, 5, 2_000), "truth": truth})
    known = Reference.of(frame, classification=False)
    assert known.loss.mean() == pytest.approx(0.1, abs=0.002) and known.confidence is None
    production.subject = look.Subject("price", 3, False, None, None)
    rows = logged(drawn(rng, 500), NOON).drop(columns=["outputs.label", "outputs.probabilities", "inputs.city"])
    rows = rows.assign(**{"inputs.age": rng.normal(100, 10, 500), "outputs.prediction": 100.0})
    production.rows.append(rows)
    first, verdict = production.look(known, None, NOON + HOUR)
    assert "no labels have come, and there is no estimate" in " ".join(verdict.reasons)
    production.labels.append(told(rows, rng.normal(100, 20, 500), NOON + 1.5 * HOUR))
    assert production.look(known, first, NOON + 2 * HOUR)[1].decision is Decision.ALARM


def test_numbers_that_are_missing_far_oftener_are_a_change_although_those_left_are_as_they_were(production, known):
    rows = logged(drawn(np.random.default_rng(10), 400), NOON)
    rows.loc[::3, "inputs.age"] = np.nan
    production.rows.append(rows)
    found, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.reasons == ("The values of 1 of 3 columns have changed: age.",)
    assert set(found["change"]["p_values"]) == {"age", "city", "the model's answer"}


def test_one_one_point_zero_and_true_are_one_value(production):
    rng = np.random.default_rng(11)
    frame = drawn(rng, 1_000).assign(**{"inputs.age": rng.integers(0, 2, 1_000), "inputs.city": rng.random(1_000) < 0.5})
    production.rows.append(logged(frame.head(300).assign(**{"inputs.age": lambda one: one["inputs.age"].astype(float)}), NOON))
    production.rows[0]["inputs.city"] = production.rows[0]["inputs.city"].map(int)
    _, verdict = production.look(Reference.of(frame, classification=True), None, NOON + HOUR)
    assert verdict.decision is Decision.PASS, verdict.reasons


def test_a_column_that_had_no_value_and_has_some_is_named():
    held_out, live = pd.DataFrame({"a": [None, None]}), pd.DataFrame({"a": [1.0, 2.0]})
    assert change.columns(held_out, live) == ([], ["a: has values, and had none."])


def test_samples_of_one_distribution_are_told_apart_no_oftener_than_chance(production):
    rng = np.random.default_rng(12)
    found = [change.homogeneity(*(pd.Series(rng.integers(0, 4, rows)) for rows in (200, 2_000))) for _ in range(300)]
    assert sum(p < 0.05 for p in found) < 30, "Evidently's own chi-square finds four of five of these"
    assert change.homogeneity(pd.Series([0, 1] * 100), pd.Series([0, 0, 0, 1] * 100)) < 1e-6


def test_one_row_of_a_new_category_and_one_missing_number_are_no_change_of_values(production, known):
    rows = logged(drawn(np.random.default_rng(1), 400), NOON)
    rows.loc[3, "inputs.city"], rows.loc[4, "inputs.age"] = "Ulm", np.nan
    production.rows.append(rows)
    _, verdict = production.look(known, None, NOON + HOUR)
    assert verdict.decision is Decision.PASS, verdict.reasons
    assert "homogeneity" in (production.folder / "change.html").read_text()


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.7], [number / 10 for number in range(1, 31)]], ids=["categories", "numbers"])
def test_a_requests_decimals_are_those_that_the_model_reads_as_32_bit_floats(production, values):
    rng = np.random.default_rng(13)
    rating = rng.choice(values, 2_400)
    frame = drawn(rng, 2_400).assign(**{"inputs.age": rating})
    held_out = frame.head(2_000).assign(**{"inputs.age": rating[:2_000].astype("float32").astype("float64")})
    production.rows.append(logged(frame.tail(400), NOON))
    _, verdict = production.look(Reference.of(held_out, classification=True), None, NOON + HOUR)
    assert verdict.decision is Decision.PASS, verdict.reasons


def test_labels_that_come_too_late_are_told(production, known):
    production.rows.append(logged(drawn(np.random.default_rng(14), 60), NOON))
    at = f"{int((NOON - 40 * 24 * HOUR).timestamp() * 1000):012x}"
    ids = pd.DataFrame({"id": [f"{at[:8]}-{at[8:]}-7000-8000-{number:012x}" for number in range(3)]})
    production.labels.append(told(ids, [0, 1, 0], NOON))
    _, verdict = production.look(known, None, NOON + HOUR)
    assert "No label could be used: 3 came more than 30 days after their rows." in verdict.reasons
