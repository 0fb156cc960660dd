from collections.abc import Iterator
from pathlib import Path

import pytest

from include.backends import options
from include.backends.triton.spec import TritonServe
from include.gateway.credentials import Credentials
from include.registry.mlflow import Mlflow
from include.release import bundle as bundles
from include.release.production import Production
from include.serving.revision import RevisionState
from include.spec.serve import Serve
from tests.include.registry.conftest import Server
from tests.include.serving.stage import KEY, SECRET, Stage

SERVE = TritonServe(batch_delay_us=0, drain_s=2)


class Room:
    """A model's production on real parts: Triton, Envoy and MLflow."""

    def __init__(self, stage: Stage, mlflow: Mlflow, model: str) -> None:
        self.stage, self.mlflow, self.model = stage, mlflow, model
        self.told: list[tuple[int, RevisionState]] = []
        self.site = self.production()

    def production(self) -> Production:
        def record(version: int, state: RevisionState, message: str) -> None:
            self.told.append((version, state))

        return Production(self.model, self.stage.settings, self.mlflow, record, gateway=self.stage.gateway)

    def register(self, number: int, bundle: Path | None = None, serve: Serve = SERVE) -> int:
        """A registered version whose bundle is on MLflow."""
        key = f"{self.model}_lifecycle/{number}"
        run = self.mlflow.ensure_run(f"updraft/{self.model}", key, str(number))
        folder = self.stage.settings.home / "made" / self.model / str(number)
        if not folder.exists():
            import shutil

            shutil.copytree(bundle or self.stage.bundles / "good", folder)
            bundles.complete(folder, Path(__file__).parent, serve, {})
            self.mlflow.upload(run, folder, bundles.FOLDER)
        source = self.mlflow.run(run)["info"]["artifact_uri"] + "/model"
        return self.mlflow.ensure_version(self.model, run_id=run, source=source, run_key=key, tags={})

    def deploy(self, version: int):
        folder = bundles.fetch(self.mlflow, self.model, version, self.stage.settings.home / "fetched")
        return self.site.deploy(version, folder, *options.read(folder))

    def champion(self) -> int:
        """A first version in production."""
        version = self.register(1)
        self.deploy(version)
        self.site.promote(version, 2)
        return version

    @property
    def serving(self) -> tuple[dict[str, int], set[str], set[str]]:
        """Split, revisions that the gateway knows, revisions that run."""
        split = self.stage.gateway.split(self.model)
        running = {revision.version for revision in self.stage.backend.list(self.model)}
        return dict(split.weights) if split else {}, set(self.stage.gateway.revisions(self.model)), running


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One of its own: here the platform itself is among the gateway's callers."""
    stage = Stage()
    stage.credentials = Credentials({"demo": KEY, "updraft": "updraft-key-0123456789"}, SECRET)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def mlflow(stage: Stage) -> Mlflow:
    return Server(stage.settings).client()


@pytest.fixture
def room(stage: Stage, mlflow: Mlflow, request: pytest.FixtureRequest) -> Iterator[Room]:
    import uuid

    room = Room(stage, mlflow, f"m{uuid.uuid4().hex[:8]}")
    yield room
    stage.gateway.retire(room.model)
    for revision in stage.backend.list(room.model):
        stage.backend.stop(revision)
