"""Every alert, by Prometheus' own tool: it fires, it does not, and missing figures are no harm and no health."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.alerting import files
from include.alerting.rule import Alert
from include.platform import alerting
from include.runtime.settings import Settings
from tests.include.alerting.cases import CASES, Case, Series

WHOSE = re.compile(r'\b(UUID|model|node|name|folder|component|instance)="[^"]*"')
ALERTS = [rule for rules in files.PARTS.values() for rule in rules if isinstance(rule, Alert)]


@pytest.fixture(scope="module")
def promtool() -> Path:
    found = alerting.find("promtool", Settings.load())
    if found is None:
        pytest.skip(f"promtool is not installed: {alerting.REMEDY}")
    return found


def run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def look(alert: str, times: int, at: int, more: str = "") -> dict[str, Any]:
    """A look of promtool's: so many of the alert fire."""
    expression = f'count(ALERTS{{alertname="{alert}", alertstate="firing"{more}}})'
    return {"expr": expression, "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": times}] if times else []}


def given(series: Series, looks: list[dict[str, Any]]) -> dict[str, Any]:
    """A test of promtool's: what is seen of these figures."""
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "1m", "input_series": inputs, "promql_expr_test": looks}


def as_tests(cases: dict[str, Case]) -> list[dict[str, Any]]:
    """All cases that say whose figures they are at once, each as another's: a database for each would take minutes."""
    together: Series = {}
    looks, apart = [], []
    for alert, case in cases.items():
        for number, (series, times) in enumerate([*((one, 1) for one in case.fires), *((one, 0) for one in case.quiet)]):
            whose = f"{alert}{number}"
            if known := WHOSE.search(next(iter(series))):
                together |= {WHOSE.sub(rf'\1="{whose}"', name): values for name, values in series.items()}
                looks.append(look(alert, times, case.at, f', {known[1]}="{whose}"'))
            else:
                apart.append(given(series, [look(alert, times, case.at)]))
    nothing = given({}, [look(alert, int(case.missing), case.at) for alert, case in cases.items()])
    return [given(together, looks), *apart, nothing]


def judged(promtool: Path, folder: Path, cases: dict[str, Case]) -> subprocess.CompletedProcess[str]:
    (folder / "rules.yml").write_text(files.rule_file())
    told = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": as_tests(cases)}
    (folder / "tests.yml").write_text(yaml.safe_dump(told))
    return subprocess.run([promtool, "test", "rules", folder / "tests.yml"], capture_output=True, text=True, check=False)


def test_prometheus_takes_the_rules(promtool: Path, tmp_path: Path):
    (tmp_path / "rules.yml").write_text(files.rule_file())
    assert f"{len(re.findall('expr:', files.rule_file()))} rules found" in run(promtool, "check", "rules", tmp_path / "rules.yml")


def test_every_alert_has_a_case_and_names_what_to_do():
    assert {alert.name for alert in ALERTS} == set(CASES)
    assert len(ALERTS) == len(CASES)
    assert not [alert.name for alert in ALERTS if not (alert.summary.endswith(".") and alert.remedy)]
    assert not [name for name, case in CASES.items() if not (case.fires and case.quiet)]


def test_every_alert_fires_when_it_should_and_only_then(promtool: Path, tmp_path: Path):
    done = judged(promtool, tmp_path, CASES)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_a_case_that_is_wrong_fails(promtool: Path, tmp_path: Path):
    """The test above can fail: of cases told the wrong way round, each is named."""
    chosen = {name: CASES[name] for name in ("GatewayDown", "GpuXid", "ErrorRateHigh")}
    done = judged(promtool, tmp_path, {name: Case(case.quiet, case.fires, case.at) for name, case in chosen.items()})
    said = done.stdout + done.stderr
    assert done.returncode and not [
        whose
        for name, case in chosen.items()
        for whose in ([f"{name}{n}" for n in range(len(case.quiet + case.fires))] if name != "GatewayDown" else [name])
        if whose not in said
    ]


def test_an_alert_of_a_model_says_of_which():
    """What follows from an alert is the model's to say: its label must be there."""
    for name in ("ChampionDown", "ErrorRateHigh", "TtftHigh", "TpotHigh", "QueueLong", "CacheFull", "ChampionHarmed"):
        assert "$labels.model" in next(alert for alert in ALERTS if alert.name == name).summary


def test_the_thresholds_are_the_published_ones():
    """First token after 1 s, a token over 100 ms, GPU under 50 or over 95 %, memory over 95 %, queue over 50, errors over 1 %."""
    expected = {
        "TtftHigh": "> 1",
        "TpotHigh": "> 0.1",
        "GpuUtilisationLow": "< 0.5",
        "GpuUtilisationHigh": "> 0.95",
        "GpuMemoryHigh": "> 0.95",
    }
    expected |= {"QueueLong": "> 50", "ErrorRateHigh": "> 0.01"}
    by_name = {alert.name: alert for alert in ALERTS}
    for name, bar in expected.items():
        assert re.search(rf"{re.escape(bar)}( |$)", by_name[name].expression), name
        assert by_name[name].healthy
