"""The first answer about a run."""

from include.report.answer import deciding, markdown
from include.report.data import Outcome
from include.verdict import Decision, Rule, Verdict

OPEN, BROKEN = Rule("errors", None, "2 %", "under 1 %"), Rule("latency", False, "40 % slower", "under 10 %", "It is slower.")


def test_the_rule_that_failed_is_told_before_one_that_was_left_open() -> None:
    found = deciding({"gate": Verdict(Decision.PASS, ()), "canary": Verdict(Decision.ROLLBACK, (), (OPEN, BROKEN))})
    assert found is not None and (found.kind, found.rule) == ("canary", BROKEN)
    found = deciding({"canary": Verdict(Decision.INCONCLUSIVE, (), (OPEN,))})
    assert found is not None and found.rule is OPEN


def test_a_run_that_nothing_stopped_has_none() -> None:
    assert deciding({"canary": Verdict(Decision.PROMOTE, (), (OPEN,))}) is None and deciding({}) is None


def test_markdown_holds_no_markup_of_the_datas() -> None:
    evil = "a | b <img src=x> [x](http://evil) `c`\n# head"
    verdicts = {"gate": Verdict(Decision.FAIL, (evil,), (BROKEN,))}
    text = markdown(
        title="m",
        outcome=Outcome("FAILED AT GATE", "bad", evil, (evil,)),
        deciding=deciding(verdicts),
        verdicts=verdicts,
        facts=[("run", "http://a/b")],
    )
    assert "## m: FAILED AT GATE" in text and "**gate, latency**" in text and "- run: <http://a/b>" in text
    assert "<img" not in text.replace("\\<img", "") and "](http" not in text.replace("\\](http", "") and "\n# head" not in text
    assert all(line.count(" | ") - line.count("\\|") <= 2 for line in text.splitlines() if line.startswith("| gate"))
