"""scikit-activeml and small-text beside the platform's choice: digits, read by a logistic regression, from the same first rows.

Each lives in an environment of its own, made with uv and thrown away; this file is what runs in it (``python peers.py SYSTEM SEEDS``), and
imports of the project nothing but how a life goes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAIR = ("digits", "logistic")
SYSTEMS = {
    "scikit-activeml": ("scikit-activeml==1.0.1", "pydantic>=2"),
    "small-text": ("small-text==1.4.1", "pydantic>=2", "setuptools<81"),
}
"""System → what is installed for it; pydantic is what the project's own modules need there."""
TIMEOUT_S = 1800


def run(seeds: int, drawn: Sequence[float]) -> dict[str, float]:
    """Return the labels that each saves against drawing (percent); systems that can't be installed are left out, with a word."""
    from bench.labels.lives import saved_pct
    from bench.labels.pools import SIZES
    from include.runtime.tools import REPO, find_uv

    uv, found = find_uv(), dict[str, float]()
    first, tasks, _ = SIZES[PAIR[0]]
    for system, packages in SYSTEMS.items():
        with tempfile.TemporaryDirectory(prefix="updraft-bench-") as folder:
            python = Path(folder) / "bin" / "python"
            subprocess.run([str(uv), "venv", "-q", "--python", sys.executable, folder], check=True)
            install = [str(uv), "pip", "install", "-q", "--python", str(python), *packages]
            made = subprocess.run(install, capture_output=True, text=True, check=False)
            if made.returncode:
                print(f"{system} can't be installed: {made.stderr.strip()[-300:]}", flush=True)
                continue
            environment = os.environ | {"PYTHONPATH": str(REPO)}
            command = [str(python), "-m", "bench.labels.peers", system, str(seeds)]
            done = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            if done.returncode:
                print(f"{system} fails: {done.stderr.strip()[-300:]}", flush=True)
                continue
            found[system] = round(saved_pct(json.loads(done.stdout.strip().splitlines()[-1]), drawn, first, tasks), 1)
    return found


def activeml(pool: Any, model: Any, rest: list[int], seed: str) -> Sequence[int]:
    """Rows by scikit-activeml's UncertaintySampling, by its margin."""
    import numpy as np
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import UncertaintySampling
    from skactiveml.utils import MISSING_LABEL

    labels = np.full(len(pool.y), MISSING_LABEL)
    known = [row for row in range(len(pool.y)) if row not in set(rest)]
    labels[known] = pool.y[known]
    strategy = UncertaintySampling(method="margin_sampling", random_state=abs(hash(seed)) % 2**31)
    classifier = SklearnClassifier(model, classes=sorted(set(pool.y.tolist())))
    found = strategy.query(X=pool.x, y=labels, clf=classifier, candidates=rest, batch_size=min(pool.tasks, len(rest)))
    return [int(row) for row in found]


def small_text(pool: Any, model: Any, rest: list[int], seed: str) -> Sequence[int]:
    """Rows by small-text's BreakingTies, asked with the model's own probabilities."""
    import numpy as np
    from small_text import BreakingTies

    class Asked:
        """A classifier, as small-text asks one."""

        def predict_proba(self, rows: Any) -> Any:
            return model.predict_proba(rows)

    known = np.array([row for row in range(len(pool.y)) if row not in set(rest)])
    strategy = BreakingTies()
    return [int(row) for row in strategy.query(Asked(), pool.x, np.array(rest), known, pool.y[known], n=min(pool.tasks, len(rest)))]


def main(system: str, seeds: int) -> None:
    """Print a system's mean curve over some lives."""
    from bench.labels.lives import life
    from bench.labels.pools import pool

    chooser = {"scikit-activeml": activeml, "small-text": small_text}[system]
    curves = [life(pool(PAIR[0], seed), PAIR[1], chooser, seed) for seed in range(seeds)]
    print(json.dumps([statistics.fmean(values) for values in zip(*curves, strict=True)]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
