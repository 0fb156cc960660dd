"""What a kind of model is to the platform. Everything that differs between kinds is asked of these methods, and nowhere else.

A kind is one folder here (``include/kinds/<name>/``: its ``kind.py`` with a subclass, ``steps/``, whatever these need) and one line in
:mod:`include.kinds.registry`. The modules of a kind are imported when DAG files are parsed: heavy libraries belong inside functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from include.canary.plan import AnswersPlan, TrialPlan
from include.monitoring.looks import Looks
from include.spec.files import DATA_SUFFIXES, is_entry
from include.spec.names import DATA_SOURCE

if TYPE_CHECKING:
    from include.batch.form import BatchForm
    from include.gates.evaluation import Evaluation
    from include.spec.data import ProductionRows, Sql
    from include.spec.document import Fault
    from include.spec.schema import Canary, Spec
    from include.spec.serve import Serve
    from include.verdict import Verdict


class Kind(ABC):
    """One kind of model."""

    name: ClassVar[str]
    """As in ``kind:`` of model.yaml, and the folder that its steps are in."""
    spec: ClassVar[type[Spec]]
    """The form of its model.yaml."""
    files: ClassVar[str]
    """The files that its data may be, in words: ``CSV or Parquet``."""
    artifacts: ClassVar[Mapping[str, str]]
    """What its steps leave on the MLflow run for the report: name → path of a JSON file."""
    curves: ClassVar[tuple[str, ...]] = ("loss",)
    """Metrics that the report shows by training step."""

    # The spec

    @abstractmethod
    def faults(self, spec: Any) -> Iterator[Fault]:
        """Yield what contradicts itself in a spec of this kind, besides what is wrong in any spec. Pure: no file is looked at."""

    @abstractmethod
    def file_faults(self, spec: Any, folder: Path) -> Iterator[Fault]:
        """Yield every file or entry point of a spec that is not as it must be in the model's folder. Code is parsed, never run."""

    def column_faults(self, spec: Any, folder: Path) -> Iterator[Fault]:
        """Yield every column that a spec names and its file of data, where that is at hand, has not. It is not read whole."""
        yield from ()

    def read_as(self, spec: Any) -> str:
        """Say in a sentence how a file of data is read, for the trigger form; empty where there is one way."""
        return ""

    def run_params(self, spec: Any) -> dict[str, dict[str, Any]]:
        """Return the JSON schemas of the run parameters that this kind alone has, by name."""
        return {}

    def overridden(self, values: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a spec's plain ``values`` with this kind's own run parameters put in."""
        return values

    # The lifecycle

    def tasks(self, spec: Any) -> frozenset[str]:
        """Return the tasks that this spec's lifecycle has besides those of every one: of ``base``, ``judge``, ``load_test``, ``batch``,
        ``monitoring``, ``search``, ``labelling``."""
        return frozenset()

    @abstractmethod
    def runtimes(self, step: str, spec: Any) -> tuple[str, ...]:
        """Return the environments that a step may run in, the best first: the first one that is installed is taken.

        The last one must be there: the step says itself what it could not do in it.
        """

    def gpu_is_optional(self, step: str, spec: Any) -> bool:
        """Say whether a step that asks for a GPU has something to do where there is none."""
        return False

    def bases(self, spec: Any) -> tuple[str, ...]:
        """Return the names of other models that this one is made from: folders, `models:/...`, Hub ids, `module:function`."""
        return ()

    def sources(self, step: str, spec: Any, folder: Path, params: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return the files and folders whose content a step's result depends on, besides its inputs and the model's code: when one
        changes, the step runs again.

        By default the source of the data, for ``extract``; where that is a function, all data files in the model's folder.
        """
        if step != "extract":
            return ()
        source = params.get(DATA_SOURCE) or spec.data.source
        return data_files(folder) if is_entry(source) else (folder / source,)

    def production(self, spec: Any) -> ProductionRows | None:
        """Return which labelled rows of production step ``extract`` is given (input ``production``); None for none."""
        return None

    def labelled(self, spec: Any) -> bool:
        """Return whether step ``extract`` is given what people have labelled in Label Studio (input ``labelled``)."""
        return False

    def query(self, spec: Any, params: Mapping[str, Any]) -> Sql | None:
        """Return how the query in the file ``data.source`` is asked, whose rows step ``extract`` is given (input ``queried``); None where
        the data are no query's."""
        return None

    @abstractmethod
    def check_data(self, extracted: Mapping[str, Any], spec: Any, folder: Path, docs: Path) -> Verdict:
        """Judge what step ``extract`` has left by the model's expectations; what was found is written as pages to ``docs``."""

    def batch(self, spec: Any) -> BatchForm:
        """Return what the DAG ``<model>_batch`` of a spec asks with the task ``batch``, and what it keeps."""
        raise NotImplementedError(self.name)

    # What is served

    @abstractmethod
    def probe(self, url: str, headers: Mapping[str, str], model: str, bundle: Path, serve: Serve) -> Verdict:
        """Ask a revision at the gateway the bundle's golden inputs, and compare its answers with those that were recorded."""

    @abstractmethod
    def label_fault(self, spec: Any, label: Any, answer: Any) -> str:
        """Say why ``label`` (a scalar of JSON) can't be what was right where this model answered ``answer`` (None: not known, or none);
        empty when it can."""

    def looks(self, spec: Any, folder: Path) -> Looks:
        """Return how the DAG `<model>_monitoring` compares what production was asked, and answered, with the held-out rows."""
        expectations = folder / spec.data.expectations
        log = spec.monitor.log
        return Looks(frozenset((*log.redact, *log.hash)), expectations if expectations.is_file() else None)

    # The trial

    def trial_plan(self, canary: Canary) -> TrialPlan:
        """Return what a trial is decided by: the tests of every kind, and this kind's own tests on answers."""
        return TrialPlan.from_spec(canary)

    def answers_plan(self, canary: Any, evaluation: Evaluation | None, champion: str) -> AnswersPlan | None:
        """Return what a trial's answers are held against: what ``evaluation`` knows of the new version beside the ``champion``, which is
        stable in the trial. None for a kind whose answers are not held against held-out ones."""
        return None

    def questions(self, canary: Any) -> tuple[int, float]:
        """Return how many live prompts both arms are asked again during a trial, at most, and the share that they are drawn from."""
        return 0, 0.0


def data_files(folder: Path) -> tuple[Path, ...]:
    """Return the data files in a model's folder, hidden ones left out."""
    found = (path for path in folder.rglob("*") if path.suffix in DATA_SUFFIXES and path.is_file())
    return tuple(sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)))
