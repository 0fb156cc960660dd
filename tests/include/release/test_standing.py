"""What a model stands at, and whether it needs a person."""

from dataclasses import replace

import pytest

from include.release.standing import Facts, Word, standing

SERVING = Facts(champion=2, weights={"2": 100}, states={2: "RUNNING"})
TRIAL = replace(SERVING, challenger=3, weights={"2": 75, "3": 25}, states={2: "RUNNING", 3: "RUNNING"}, task="canary", on_trial=True)


@pytest.mark.parametrize(
    ("found", "word", "facts", "needs"),
    [
        (SERVING, Word.SERVES, {"version": 2}, ()),
        (TRIAL, Word.TRIAL, {"version": 3, "percent": 25}, ()),
        (replace(TRIAL, weights={"2": 100}, paused=True), Word.PAUSED, {"version": 3, "percent": 0}, ("paused",)),
        (replace(TRIAL, weights={"2": 100}, mirror="3"), Word.MIRROR, {"version": 3, "percent": 0}, ()),
        (replace(SERVING, problem="model.yaml: no"), Word.BROKEN, {"problem": "model.yaml: no", "version": 2}, ("broken",)),
        (replace(SERVING, states={2: "ERROR"}), Word.DOWN, {"version": 2, "state": "ERROR"}, ("down",)),
        (replace(TRIAL, task="hold", on_trial=False), Word.HOLD, {"version": 3}, ("hold",)),
        (replace(SERVING, task="approve"), Word.APPROVE, {"version": 2}, ("approve",)),
        (Facts(task="train", waits_for_gpu=True, gpu_wait_s=370), Word.GPU, {"minutes": 6, "task": "train", "version": None}, ()),
        (Facts(task="train", waits_for_gpu=True), Word.GPU, {"minutes": None, "task": "train", "version": None}, ()),
        (replace(SERVING, task="train"), Word.UNDER_WAY, {"task": "train", "version": 2}, ()),
        (Facts(last_failed=True), Word.FAILED, {}, ("failed",)),
        (replace(SERVING, last_failed=True), Word.SERVES, {"version": 2}, ("last_failed",)),
        (replace(SERVING, drift="ALARM", alerts=1), Word.SERVES, {"version": 2}, ("drift", "alert")),
        (Facts(), Word.IDLE, {}, ()),
        (Facts(registry=False), Word.UNKNOWN, {}, ()),
    ],
)
def test_what_a_person_has_to_know_first_comes_first(found: Facts, word: Word, facts: dict[str, object], needs: tuple[str, ...]) -> None:
    said = standing(found)
    assert (said.word, dict(said.facts), said.needs) == (word, facts, needs)


def test_what_is_goes_before_what_shall_be() -> None:
    """The registry calls 2 champion still, while the gateway sends everybody to 1."""
    assert standing(replace(SERVING, weights={"1": 100}, states={1: "RUNNING", 2: "RUNNING"})).facts == {"version": 1}


def test_without_the_registry_a_trial_is_told_by_the_split() -> None:
    said = standing(replace(TRIAL, champion=None, challenger=None, registry=False))
    assert (said.word, dict(said.facts)) == (Word.TRIAL, {"version": 3, "percent": 25})
