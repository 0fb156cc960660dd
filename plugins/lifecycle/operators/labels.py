"""The task labels: what a file says turned out to be right is told beside the look, each label once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.data import roots
from include.kinds.load import load
from include.predictions.label_files import read_labels
from include.predictions.telling import tell
from lifecycle.operators.base import LifecycleOperator
from lifecycle.run import Run, told


class Labels(LifecycleOperator):
    """Reads the file that ``monitor.labels`` names. Ids that are not in the log are passed over; what else is wrong fails the task by its
    lines, and none of the file is kept. A file that is not there yet is no failure."""

    def execute(self, context: Any) -> Any:
        with told():
            run = context["dag_run"]
            return self.run(Run(f"{run.dag_id}/{run.run_id}", Path(self.spec_path), load(Path(self.spec_path)), {}), context)

    def run(self, run: Run, context: Mapping[str, Any]) -> dict[str, int]:
        path = roots.locate(run.spec.monitor.labels or "", run.folder, run.settings.data_roots)
        if not path.exists():
            self.log.info("%s is not there: nobody has said yet what was right.", path)
            return {}
        found = tell(run.api, run.model, read_labels(path), str(path), skip=True)
        self.log.info(", ".join(f"{name}: {count}" for name, count in found.items()))
        return found
