"""A judge that was taught its marks, behind a real llama.cpp, asked by the real client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from include.errors import ComponentError
from include.gates.evaluation import Champion, Evaluation, Score
from include.gates.gate import gate
from include.gates.judgement import Judgement
from include.judge.ask import Judge
from include.judge.cache import Cache
from include.judge.held_out import HeldOut
from include.judge.labels import TWO
from include.judge.marking import judged
from include.kinds.load import load_as
from include.runtime.settings import REPO
from include.spec.llm import LlmSpec
from include.verdict import Decision
from tests.include.judge.conftest import INSTRUCTIONS, RUBRIC, SURE, UNSURE, Serve, Server, asked, prompt
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
LABELLED, HELD_OUT = range(10), range(10, 14)
EVALUATION = Evaluation("chat", "exact_match", 4, 40, 0.95, {"exact_match": Score(1.0)}, champion=Champion("3", not_comparable="later"))
PROGRAM = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from tests.include.judge.conftest import INSTRUCTIONS, SURE, UNSURE, Server, asked
from include.judge.ask import Judge
from include.judge.cache import Cache
from include.judge.labels import TWO

up = SimpleNamespace(url=sys.argv[1], key=os.environ["KEY"], process=0)
judge = Judge(Server(up).model, INSTRUCTIONS, TWO, Cache(Path(sys.argv[2])), parallel=1)
judge.marks([asked(number, said) for answers in (SURE, UNSURE) for number, said in enumerate(answers)])
"""
QUESTIONS = [asked(number, said) for answers in (SURE, UNSURE) for number, said in enumerate(answers)]


def label(number: int, said: str, mark: str) -> str:
    return json.dumps({"messages": [*prompt(number), {"role": "assistant", "content": said}], "mark": mark}) + "\n"


AGREED = [label(number, SURE[number], "good") + label(number, UNSURE[number], "bad") for number in LABELLED]
APART = [label(number, SURE[number], "good" if number < 5 else "bad") + label(number, UNSURE[number], "bad") for number in LABELLED]


def folder_of(home: Path, labels: list[str], **judge: object) -> tuple[Path, LlmSpec]:
    """A model's folder with these labels."""
    folder = home / "tiny"
    folder.mkdir()
    for name, text in (("base.py", "def make(folder): ..."), ("chats.jsonl", ""), ("rubric.md", RUBRIC), ("labels.jsonl", "".join(labels))):
        (folder / name).write_text(text)
    given = {"kind": "llm", "name": "tiny", "base": "base:make", "data": {"source": "chats.jsonl"}}
    (folder / "model.yaml").write_text(yaml.safe_dump(given | {"evaluate": {"judge": {"model": "judge", "max_tokens": 64} | judge}}))
    return folder, load_as(folder / "model.yaml", LlmSpec)


def rows(answers: list[str], champions: list[str] | None) -> list[HeldOut]:
    return [
        HeldOut(f"{number:016x}", "sure", prompt(number), "", answers[number], champions[number] if champions else None)
        for number in HELD_OUT
    ]


def opinion(home: Path, server: Server, labels: list[str], answers: list[str], champions: list[str] | None, **judge: object) -> Judgement:
    folder, spec = folder_of(home, labels, **judge)
    cache = Cache(home / "marks")
    return judged(spec, folder, rows(answers, champions), server.model, cache, champion="3" if champions else None)


def decided(found: Judgement) -> tuple[Decision, str]:
    verdict = gate(EVALUATION, LlmSpec.model_fields["gate"].default, found)
    return verdict.decision, verdict.rules[-1].figure


def test_a_trusted_judge_fails_a_version_whose_answers_are_worse(tmp_path: Path, server: Server) -> None:
    found = opinion(tmp_path, server, AGREED, UNSURE, SURE)
    assert found.agreement.counts == ((10, 0, 0), (0, 10, 0)) and found.agreement.kappa.value == 1.0
    assert not found.doubt and (found.prompts, found.unmarked) == (4, 0)
    assert (found.score.value, found.champion_score.value, found.comparison.difference) == (0.0, 1.0, -1.0)
    assert found.tasks == [{"task": "sure", "prompts": 4, "mark": 0.0, "champion": 1.0}]
    assert found.worse["rows"] == 4
    first = found.worse["shown"][0]
    assert (first["answer"], first["mark"], first["champion"], first["champion_mark"]) == ("perhaps ten", "bad", "surely ten", "good")
    assert first["reason"] == "perhaps"
    assert decided(found)[0] is Decision.FAIL


def test_a_trusted_judge_passes_a_version_whose_answers_are_as_good(tmp_path: Path, server: Server) -> None:
    assert decided(opinion(tmp_path, server, AGREED, SURE, SURE))[0] is Decision.PASS
    (tmp_path / "first").mkdir()
    assert decided(opinion(tmp_path / "first", server, AGREED, SURE, None)) == (Decision.PASS, "first version")


def test_a_judge_that_disagrees_with_people_counts_for_nothing(tmp_path: Path, server: Server) -> None:
    found = opinion(tmp_path, server, APART, UNSURE, SURE)
    assert found.agreement.counts == ((10, 5, 0), (0, 5, 0))
    assert found.doubt == f"{found.agreement.figure}, wanted 0.6" and found.agreement.kappa.value == pytest.approx(0.5)
    assert found.disagreements["rows"] == 5
    assert found.disagreements["shown"][0] == {
        **{"prompt": "What is 5?", "answer": "surely five", "label": "bad", "mark": "good", "reason": "surely"}
    }
    assert decided(found) == (Decision.PASS, "not trusted")


def test_an_answer_in_another_form_is_no_mark(tmp_path: Path, server: Server) -> None:
    found = opinion(tmp_path, server, AGREED, UNSURE, SURE, max_tokens=5)
    assert found.agreement.unmarked == 20 and found.unmarked == 4
    assert found.doubt == "20 of 20 labelled answers got no mark, wanted 10% at most"
    assert "not in the form" in found.disagreements["shown"][0]["reason"] and found.disagreements["shown"][0]["mark"] == "none"
    assert decided(found) == (Decision.PASS, "not trusted")


def test_a_question_that_the_judge_cannot_take_is_no_mark_and_not_kept(tmp_path: Path, server: Server) -> None:
    judge = Judge(server.model, INSTRUCTIONS, TWO, Cache(tmp_path))
    long, short = judge.marks([asked(1, "far too long " * 2000), asked(1, SURE[1])])
    assert long.place is None and "not taken by the judge" in long.said and short.place == 1
    assert len(list(tmp_path.glob("*/*.json"))) == 1


def test_what_is_known_is_not_asked_again(tmp_path: Path, server: Server) -> None:
    first, again, other = (Judge(server.model, text, TWO, Cache(tmp_path)) for text in (INSTRUCTIONS, INSTRUCTIONS, INSTRUCTIONS + "!"))
    assert first.marks([QUESTIONS[0], QUESTIONS[0], QUESTIONS[1]])[0].place == 1 and first.asked == 2
    assert again.marks(QUESTIONS[:2]) == first.marks(QUESTIONS[:2]) and again.asked == 0
    other.marks(QUESTIONS[:1])
    assert other.asked == 1, "another rubric is another question"


def test_a_server_that_dies_is_an_error_that_a_retry_mends_by_asking_the_rest(tmp_path: Path, serve: Serve) -> None:
    with serve() as up:
        Judge(up.model, INSTRUCTIONS, TWO, Cache(tmp_path)).marks(QUESTIONS[:3])
        up.kill()
        judge = Judge(up.model, INSTRUCTIONS, TWO, Cache(tmp_path))
        with pytest.raises(ComponentError, match=r"the judge model at 127\.0\.0\.1:\d+ failed"):
            judge.marks(QUESTIONS[:6])
        assert [mark.place for mark in Judge(up.model, INSTRUCTIONS, TWO, Cache(tmp_path)).marks(QUESTIONS[:3])] == [1, 1, 1]


def test_killed_in_the_middle_the_retry_asks_only_for_what_is_missing(tmp_path: Path, server: Server) -> None:
    environment = os.environ | {"PYTHONPATH": ".", "KEY": server.key}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, server.url, str(tmp_path)], cwd=REPO, env=environment)
    until(lambda: len(list(tmp_path.glob("*/*.json"))) >= 3, 120, every_s=0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    known = len(list(tmp_path.glob("*/*.json")))
    assert 3 <= known < len(QUESTIONS)
    judge = Judge(server.model, INSTRUCTIONS, TWO, Cache(tmp_path))
    assert [mark.place for mark in judge.marks(QUESTIONS)] == [1] * len(SURE) + [0] * len(UNSURE)
    assert judge.asked == len(QUESTIONS) - known
