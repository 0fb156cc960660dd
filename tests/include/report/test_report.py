import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from include.canary.asked import Asked, Example
from include.canary.judge import judge
from include.data.validate import validate
from include.report.data import ReportData, TrialCurves
from include.report.render import render
from include.verdict import Decision, Verdict
from tests.include.canary import test_answers_test as answers_test
from tests.include.report import runs

VOID = {"meta", "link", "br", "img", "input", "hr"}
SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Fails on an end tag that closes nothing or the wrong element; gathers headings, texts, elements and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)
        if "h2" in self.open and data.strip():
            self.headings.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def charts(html: str) -> dict[str, ElementTree.Element]:
    """The pictures by title; parsing them as XML proves them well-formed."""
    found = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg [^>]*class="chart".*?</svg>', html, re.DOTALL)]
    return {str(svg.findtext(f"{SVG}title")): svg for svg in found}


def of_class(svg: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [node for node in svg.iter() if name in (node.get("class") or "").split()]


@pytest.fixture(scope="session")
def broken_data(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """Great Expectations' own word on a table with a hole and a value out of range."""
    folder = tmp_path_factory.mktemp("broken")
    pd.DataFrame({"width": [1.0, 99.0, None], "target": [0, 1, 0]}).to_parquet(folder / "table.parquet")
    rules = "- expect_column_values_to_be_between: {column: width, min_value: 0, max_value: 16}\n"
    rules += "- expect_column_values_to_not_be_null: {column: target}\n- expect_column_values_to_not_be_null: {column: width}\n"
    (folder / "expectations.yaml").write_text(rules)
    verdict = validate(folder / "table.parquet", folder / "expectations.yaml", folder / "docs", name="m", target="target")
    assert verdict.decision is Decision.FAIL
    return verdict


@pytest.fixture
def at_data(broken_data: Verdict) -> ReportData:
    return runs.failed_at_data(broken_data)


MADE: dict[str, Callable[[], ReportData]] = {
    "promoted": runs.promoted,
    "rolled back": runs.rolled_back,
    "first version": runs.first_version,
    "regression": runs.regression,
    "failed at gate": runs.failed_at_gate,
    "hostile": runs.hostile,
    "language model": runs.talked,
    "judged": runs.judged,
    "nothing known": runs.gathered,
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_every_page_is_well_formed_and_needs_nothing_from_elsewhere(make: Callable[[], ReportData]) -> None:
    html = render(make())
    page = Page(html)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "action", "data", "srcset", "poster")]
    ids = {f"#{value}" for _, name, value in page.attributes if name == "id"}
    assert set(links) <= {"data_docs/index.html"} | ids
    assert "script" not in page.tags and not {"img", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in html.replace("url(#clip-", "") and "@import" not in html
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    charts(html)


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_every_picture_has_a_title_and_every_table_its_headers(make: Callable[[], ReportData]) -> None:
    html = render(make())
    page = Page(html)
    for svg in charts(html).values():
        assert svg.get("role") == "img" and svg.findtext(f"{SVG}title")
    assert page.tags.count("figcaption") == page.tags.count("figure")
    assert page.tags.count("caption") == page.tags.count("thead") == page.tags.count("table")
    assert html.count("<th>") == 0, "a header says whether it heads a row or a column"


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_the_data_survive_json(make: Callable[[], ReportData]) -> None:
    found = make()
    again = ReportData.from_json(json.loads(json.dumps(found.to_json())))
    assert render(again) == render(found)


def test_a_promoted_run_says_so_first() -> None:
    data = runs.promoted()
    page = Page(render(data))
    assert data.outcome == "PROMOTED"
    assert (
        page.text.index("PROMOTED") < page.text.index("Version 2 of digits serves production") < page.text.index("Expectations of the data")
    )
    assert page.headings == [
        "Data",
        "Training",
        "2.4 s",
        "Evaluation and gate",
        "Optimisation",
        "Deployment",
        "Canary",
        "Spec of this run",
        "Timings",
    ]


def test_a_rolled_back_run_gives_the_judges_reasons_before_anything_else() -> None:
    data = runs.rolled_back()
    text = Page(render(data)).text
    assert data.outcome == "ROLLED BACK" and data.reasons
    for reason in data.reasons:
        assert text.index(reason) < text.index("Expectations of the data")
    assert "it did harm in the trial with real traffic" in text


def test_a_run_stopped_by_its_data_names_the_rule_the_rows_and_nothing_that_did_not_happen(at_data: ReportData) -> None:
    page = Page(render(at_data))
    assert at_data.outcome == "FAILED AT DATA"
    assert page.headings == ["Data", "Spec of this run", "Timings"]
    assert "row 2: 99" in page.text
    failed, passed = page.text.index("✗ failed"), page.text.index("✓ passed")
    assert failed < passed, "failed rules come first"


def test_a_run_stopped_by_the_gate_shows_its_evaluation() -> None:
    data = runs.failed_at_gate()
    html = render(data)
    assert data.outcome == "FAILED AT GATE"
    assert any("minimum accuracy failed" in reason for reason in data.reasons)
    assert Page(html).headings == ["Data", "Training", "1.2 s", "Evaluation and gate", "Spec of this run", "Timings"]
    assert "Confusion matrix" in charts(html)


def test_a_first_version_has_no_champion_and_no_curves() -> None:
    html = render(runs.first_version())
    assert "as the model's first version" in Page(html).text
    dots = next(svg for title, svg in charts(html).items() if title.startswith("Metrics on"))
    assert of_class(dots, "canary") and not of_class(dots, "stable")
    assert "Cumulative error rate" not in charts(html)


def test_a_regression_shows_its_answers_against_the_truth() -> None:
    found = charts(render(runs.regression()))
    points = runs.evaluation("diabetes").charts["predicted_vs_actual"]
    assert len(of_class(found["Predicted against actual"], "cloud")) == len(points) == 200
    assert len(of_class(found["Residuals (predicted minus actual)"], "bar")) == 20
    assert "Confusion matrix" not in found


def test_a_loss_that_was_logged_by_step_is_drawn() -> None:
    page = render(runs.gathered(**runs.through_gate(), curves={"loss": [(1, 4.0), (10, 2.0), (20, 1.5)], "other": [(0, 1.0)]}))
    drawn = charts(page)
    assert "Loss by step" in drawn and not any("Other" in title for title in drawn)
    (path,) = of_class(drawn["Loss by step"], "line")
    assert (path.get("d") or "").count("L") == 2


def test_a_language_models_answers_stand_beside_the_right_ones_and_the_champions() -> None:
    page = Page(render(runs.talked()))
    assert "Worse than the champion's: 3, of which 1 are shown" in page.text
    assert "What is 2 + 2? sum 4 5 <b> 4" in page.text, "a model's answer is text, whatever it says"
    assert "Better than" not in page.text and "Wrong answers: 1" in page.text
    assert "Size Memory Tokens/s" in page.text and "50 MiB" in page.text.replace("\xa0", " ")
    assert "sum <i> 40 2 7 of 9 1" in page.text
    assert "Tokens/s, 1 at once Tokens/s, 4 at once" in page.text and "97 %" in page.text


def test_the_form_in_16_bits_is_the_reference_whichever_server_it_is_for() -> None:
    data = runs.talked()
    as_vllm = json.loads(json.dumps(data.optimization).replace('"f16"', '"bf16"').replace('"q8_0"', '"awq"'))
    for optimization in (data.optimization, as_vllm):
        page = Page(render(replace(data, optimization=optimization)))
        assert "the reference" in page.text and "slower than the one served" not in page.text


def test_a_plan_is_shown_with_the_gpu_it_was_timed_on_or_why_there_is_none() -> None:
    data = runs.promoted()
    assert data.optimization is not None
    plain, graph, missing = data.optimization["candidates"]
    on, why = "NVIDIA L4 (compute capability 8.9), TensorRT 11.4.0", "the step needs an NVIDIA GPU of compute capability 7.5 or newer"
    forms = [plain, graph | {"name": "tensorrt_fp16", "on": on}, missing | {"name": "tensorrt_fp8", "on": "", "reason": why}]
    page = Page(render(replace(data, optimization={"chosen": "tensorrt_fp16", "candidates": forms})))
    assert f"tensorrt_fp16 on {on}" in page.text and "tensorrt_fp16 (served)" in page.text and f"not made: {why}" in page.text


def test_a_judges_opinion_stands_beside_its_agreement_with_people() -> None:
    html = render(runs.judged())
    page, drawn = Page(html), charts(html)
    assert re.search(r"Trusted: kappa 0\.95 \[0\.\d\d, 1\.00\], wanted 0\.6", page.text)
    assert "marked 40 answers that people had marked (1 got no mark)" in page.text and "41 held-out prompts (1 lack a mark)" in page.text
    assert "sum 41 0.75 1" in page.text and "What is 2 + 2? five <b> bad good It is four." in page.text
    assert "Answers that the judge marks below the champion's: 10, of which 1 are shown" in page.text
    assert "no mark" in "".join(drawn["The judge's marks beside people's"].itertext())
    assert "judge: not worse than champion" in page.text


def test_a_judge_that_is_not_trusted_is_shown_as_such() -> None:
    page = Page(render(runs.judged("kappa 0.31 [0.12, 0.50], wanted 0.6")))
    assert "Not trusted: kappa 0.31 [0.12, 0.50], wanted 0.6." in page.text and "the gate ignores its marks" in page.text


def test_a_load_test_is_drawn_beside_the_champions() -> None:
    data = runs.load_tested()
    html = render(data)
    page = Page(html)
    assert data.outcome == "FAILED AT LOAD TEST" and "16 requests a second were wanted." in data.reasons
    assert "Load test" in page.headings and "load test: failed" in page.text
    for title in ("Time to the first token by rate, p99 (ms)", "Time per token by rate, p99 (ms)", "Tokens a second by rate"):
        lines = of_class(charts(html)[title], "line")
        assert [(line.get("d") or "").count(",") for line in lines if "canary" in (line.get("class") or "")] == [3]
        assert [(line.get("d") or "").count(",") for line in lines if "stable" in (line.get("class") or "")] == [3]
    assert "SLO: 500 ms" in page.text and "first token: p99 700 ms (at most 500)" in page.text
    assert page.text.count("✓ yes") == 5


def test_the_curves_hold_every_look() -> None:
    data = runs.promoted()
    found = charts(render(data))
    looks = len(data.trial.series) if data.trial else 0
    assert looks == 18
    for title in ("Cumulative error rate", "Latency: median and 99th percentile"):
        lines = of_class(found[title], "line")
        assert {"stable", "canary"} <= {name for line in lines for name in (line.get("class") or "").split()}
        assert all((line.get("d") or "").count(",") == looks for line in lines)
    assert len(of_class(found["Requests per look"], "bar")) == 2 * looks


def test_the_harm_is_drawn_with_its_bounds_and_bars() -> None:
    found = charts(render(runs.rolled_back()))
    for kind in ("error rate", "latency"):
        picture = found[f"Harm in {kind}, with the judge's bounds"]
        words = " ".join(node.text or "" for node in picture.iter(f"{SVG}text"))
        assert "rollback above" in words and "promotion below" in words
        assert of_class(picture, "band")[0].get("d")


def test_a_single_look_shows_its_bounds_too() -> None:
    rows, _ = runs.trial(seed=3)
    found = charts(render(runs.gathered(looks=rows[:1])))
    assert of_class(found["Harm in latency, with the judge's bounds"], "band")[0].get("d")
    assert of_class(found["Cumulative error rate"], "dot")


def test_looks_without_a_verdict_are_judged_again_for_their_curves() -> None:
    rows, _ = runs.trial(seed=3)
    parts = runs.through_gate()
    data = runs.gathered(**parts, looks=rows[:7], tasks=runs.tasks(*runs.WAY, failed="canary"))
    assert data.outcome == "FAILED AT CANARY" and data.trial is not None
    judged = runs.promoted().trial
    assert judged is not None and len(data.trial.series) == 7
    for again, before in zip(data.trial.series, judged.series, strict=False):
        assert again == pytest.approx(before), "but for the order in which a histogram's bins are summed"
    assert "the trial was broken off" in Page(render(data)).text


def test_a_mirrored_phase_is_not_mistaken_for_the_trial() -> None:
    spec = runs.spec().model_copy(update={"canary": runs.spec().canary.model_copy(update={"mirror_s": 4.0})})
    rows, _ = runs.trial(seed=3)
    mirror = [runs.look_row(n, look) for n, look in enumerate(_mirrored(rows[:2]))]
    steps = [row | {"number": 2 + n, "body": row["body"] | {"passed_s": row["body"]["passed_s"] + 4.0}} for n, row in enumerate(rows)]
    only_mirror = runs.gathered(spec=spec, looks=mirror)
    both = runs.gathered(spec=spec, looks=[*mirror, *steps])
    assert only_mirror.trial is not None and only_mirror.trial.mirrored and len(only_mirror.trial.series) == 2
    assert both.trial is not None and not both.trial.mirrored and len(both.trial.series) == len(rows)
    assert "Mirrored traffic over time" in charts(render(only_mirror))


def _mirrored(rows: list[dict[str, object]]) -> list[object]:
    from include.canary.observations import Look

    return [Look.from_json(row["body"]["look"]) for row in rows]  # type: ignore[index]


def test_gpu_memory_asked_for_stands_beside_what_was_used() -> None:
    row = {"work": "digits_lifecycle/train", "team": "t", "size": "1 GPU", "leases": 4, "granted_mib": 81_920, "peak_mib": 9_216}
    page = Page(render(runs.gathered(gpus=[row | {"proposed_mib": 11_264, "proposal": "It could ask for `memory: 11GiB`."}])))
    assert "digits_lifecycle/train 1 GPU 9.0 GiB 80.0 GiB 4 It could ask for `memory: 11GiB`." in page.text
    assert "GPU memory" not in Page(render(runs.gathered())).headings


def test_hostile_texts_stay_texts() -> None:
    page = Page(render(runs.hostile()))
    assert "script" not in page.tags and "img" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 10, "and they are shown"


def test_the_gantt_adds_up() -> None:
    data = runs.promoted()
    html = render(data)
    picture = charts(html)["The run's tasks over time"]
    ran = [task.task_id for task in data.tasks if task.seconds() is not None]
    assert len(ran) == 13 and len(of_class(picture, "task")) == 13
    wall = sum(runs.SECONDS) + 0.3 * 13
    assert f"{int(wall // 60)} min {round(wall) % 60} s" in Page(html).text


def test_the_same_run_gives_the_same_bytes() -> None:
    assert render(runs.promoted()) == render(ReportData.from_json(runs.promoted().to_json()))


def test_a_path_of_a_run_is_a_file_that_opens_from_disk(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(runs.promoted()))
    assert page.stat().st_size < 400_000


def test_a_language_models_trial_shows_its_tokens_and_the_prompts_that_stable_answered_better() -> None:
    lost = Asked(10, known=8, lost=5, right=3, unlike=6, examples=(Example("What is <b>1 + 1</b>?", "2", "2", "3"),))
    html = render(replace(runs.rolled_back(), **_tried(runs.chat_trial(asked=lost))))
    page, drawn = Page(html), charts(html)
    assert "What is <b>1 + 1</b>? 2 3 2" in page.text
    assert "quality: of" in page.text and "over the margin of 5 percentage points" in page.text
    asked = next(title for title in drawn if "live prompts asked of both" in title)
    for title in ("Time to the first token", "Time of each further token", "Answers cut off or empty", asked):
        lines = of_class(drawn[title], "line")
        assert {"stable", "canary"} <= {name for line in lines for name in (line.get("class") or "").split()}, title


def test_a_tables_trial_shows_rows_answered_differently_and_what_is_not_known_of_answers() -> None:
    html = render(replace(runs.rolled_back(), **_tried(judge(answers_test.looks(differ=4), answers_test.PLAN))))
    page, drawn = Page(html), charts(html)
    assert "input [0.0] 0 1" in page.text and "on held-out rows they differ in 4 of 400" in page.text
    assert any("live rows asked of both" in title for title in drawn)
    promoted = judge(answers_test.looks(rows=0), answers_test.PLAN)
    assert promoted.decision is Decision.PROMOTE
    assert "answers: not known" in Page(render(replace(runs.rolled_back(), **_tried(promoted)))).text


def _tried(verdict: Verdict) -> dict[str, Any]:
    curves = TrialCurves(verdict.evidence["plan"], tuple(verdict.evidence["series"]))
    return {"verdicts": {"canary": verdict}, "trial": curves}
