"""Which TCP ports a step's container is told that it may use."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from include.runtime.sandbox.ports import VARIABLE, hold
from include.targets import confined
from tests.include.sandbox.contained import request


@pytest.mark.parametrize(
    ("mlflow", "ports"),
    [("http://10.0.0.1:8051", [8051]), ("https://mlflow.example.org", [443]), ("http://mlflow.updraft.svc/", [80]), ("", [])],
)
def test_they_are_those_of_mlflow_and_of_what_the_spec_names(tmp_path, mlflow, ports):
    asked = replace(request(tmp_path / "named", "def load(): ...\n"), network=["warehouse.example.org:5432"])
    told = json.loads(confined.tcp_of(asked, mlflow, (8000, 8399))[VARIABLE])
    assert told == {"connect": [*ports, 5432], "listen": [], "handed_out": True, "closed": [8000, 8399]}


def test_who_is_told_nothing_gives_up_nothing():
    hold(environment := {"PATH": "/bin"})
    assert environment == {"PATH": "/bin"}
