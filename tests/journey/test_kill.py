"""Every component is killed with -9 in every phase of a run, and the run ends as it would have."""

import pytest

from tests.journey.killing import COMPONENTS, Killed
from tests.journey.site import Site
from tests.waiting import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

PHASES = ("train", "deploy", "canary", "promote")
RUNS = len(COMPONENTS)


def victim(run: int, phase: int) -> str:
    """Who dies in a phase of a run: a Latin rectangle, each component once in each phase, no two alike in a run."""
    return list(COMPONENTS)[(run + 2 * phase) % RUNS]


def test_the_arrangement_covers_every_pair():
    pairs = {(victim(run, phase), name) for run in range(RUNS) for phase, name in enumerate(PHASES)}
    assert pairs == {(component, name) for component in COMPONENTS for name in PHASES}


def reach(site: Site, run: tuple[str, str], phase: str, component: str) -> None:
    """Wait until the run is in a phase: the task runs, and for the trial the judge has looked once."""
    if phase != "canary":
        site.wait(run, phase, "running")
    elif component == "task process":  # the trial itself runs in the triggerer; its task has a process until it is deferred
        site.wait(run, "deploy", "success")
    else:
        site.wait(run, "canary", "deferred")
        looks = {"run_key": "/".join(run)}
        until(lambda: site.api.get("/lifecycle/v1/looks", params=looks), 60, "a first look", every_s=0.1)


@pytest.mark.parametrize("number", range(RUNS), ids=[" ".join(victim(run, phase) for phase in range(4)) for run in range(RUNS)])
def test_killed_in_every_phase_the_run_ends_as_it_would_have(site: Site, champion: int, number: int):
    """Eight runs, four kills each, cover all 32 pairs of component and phase (see ``victim``).

    The champion's callers lose only what a killed server had in hand, except while the only door (Envoy) or all of the platform
    (supervisord) is down. In the phase canary it is the champion's server that dies: the death of the version on trial is evidence
    against it, and another test's.
    """
    killed: list[Killed] = []
    with site.traffic() as stop:
        run = site.trigger(seconds=3.0)
        for phase_number, phase in enumerate(PHASES):
            component = victim(number, phase_number)
            reach(site, run, phase, component)
            killed.append(COMPONENTS[component](site, phase, str(champion)))
            print(f"{phase}: {killed[-1]}", flush=True)
        ended = site.end(run, timeout_s=420)
        report = stop()
    print({name: (part.requests, part.failed) for name, part in report.by_revision.items()}, report.failures, flush=True)
    assert ended.state == "success" and ended.tasks["promote"] == "success", (ended, killed, site.verdicts(ended).get("canary"))
    site.settled(site.version(ended))
    assert report.failed <= sum(part.allowed for part in killed), (report.failures, killed)
