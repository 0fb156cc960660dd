"""Canary, promotion and rollback of revisions on a cluster, by Updraft's own gateway and by the cluster's."""

from collections.abc import Iterator

import pytest

from include.backends import options
from include.backends.triton.spec import TritonServe
from include.errors import InputError
from include.gateway.credentials import Credentials
from include.gateway.gateway import Gateway
from include.gateway.prometheus import Prometheus
from include.release import bundle as bundles
from include.release.production import Production
from include.serving.kubernetes.gateway import ClusterGateway, gateway_of
from include.serving.revisions import Revisions
from include.verdict import Decision
from tests.include.registry.conftest import Server
from tests.include.release.conftest import Room
from tests.include.serving.kubernetes.cluster import access, crd, host, needs_triton
from tests.include.serving.stage import KEY, SECRET, Stage
from tests.include.targets.cluster import Space, needs_cluster

pytestmark = [pytest.mark.integration, needs_cluster, needs_triton]
SERVE = TritonServe(batch_delay_us=0, drain_s=1, start_timeout_s=180)
ROUTES = ["", "httproute", "ingress-nginx"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One of its own: here the platform itself is among the gateway's callers."""
    stage = Stage()
    stage.credentials = Credentials({"demo": KEY, "updraft": "updraft-key-0123456789"}, SECRET)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    space = Space()
    yield space
    space.close()


@pytest.fixture(scope="module")
def mlflow(stage):
    return Server(stage.settings).client()


class ClusterRoom(Room):
    """A model's production whose servers are Deployments, its traffic by the cluster's own gateway if there is a ``route``."""

    def __init__(self, stage, mlflow, model, space, route) -> None:
        self.space, self.route = space, route
        more = {"route": route, "prometheus": "http://127.0.0.1:9"} if route else {}
        self.access = access(stage.settings, space.name, **more)
        self.gateway = ClusterGateway(stage.settings, self.access, stage.credentials) if route else stage.gateway
        self.backend = Revisions(stage.settings, stage.supervisor, {"kubernetes": lambda: host(stage.settings, space, **more)})
        super().__init__(stage, mlflow, model)

    def production(self) -> Production:
        def record(version, state, message):
            self.told.append((version, state))

        return Production(self.model, self.stage.settings, self.mlflow, record, gateway=self.gateway, backend=self.backend)

    def register(self, number, bundle=None, serve=SERVE):
        return super().register(number, bundle, serve)

    def deploy(self, version):
        folder = bundles.fetch(self.mlflow, self.model, version, self.stage.settings.home / "fetched")
        return self.site.deploy(version, folder, *options.read(folder), target="kubernetes")

    def objects(self) -> set[str]:
        """Versions of which there is anything left."""
        found = self.space.core.list_namespaced_pod(self.space.name, label_selector=f"updraft.io/model={self.model}").items
        found += self.space.core.list_namespaced_service(self.space.name, label_selector=f"updraft.io/model={self.model}").items
        return {one.metadata.labels["updraft.io/revision"] for one in found}


@pytest.fixture(scope="module")
def httproutes(space):
    with crd(space.api, "gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"):
        yield


@pytest.fixture(params=ROUTES, ids=["own", *ROUTES[1:]])
def room(request, stage, space, mlflow, httproutes):
    _ = stage.gateway
    room = ClusterRoom(stage, mlflow, f"routed_{ROUTES.index(request.param)}", space, request.param)
    yield room
    room.gateway.retire(room.model)
    for revision in room.backend.list(room.model):
        room.backend.stop(revision)


def test_a_canary_gets_its_share_and_is_rolled_back_or_promoted(room):
    first = str(room.champion())
    assert room.gateway.split(room.model).weights == {first: 100}
    second = str(room.register(2))
    verdict = room.deploy(int(second))
    assert verdict.decision is Decision.PASS, verdict.reasons
    room.gateway.set_split(room.model, {first: 90, second: 10})
    another = ClusterGateway(room.stage.settings, room.access) if room.route else Gateway(room.stage.settings)
    assert another.split(room.model).weights == {first: 90, second: 10} and room.objects() == {first, second}
    room.gateway.set_split(room.model, {first: 50, second: 50})
    assert room.gateway.split(room.model).weights == {first: 50, second: 50}
    room.site.rollback(int(second), 1)
    assert room.gateway.split(room.model).weights == {first: 100} and room.objects() == {first}

    third = str(room.register(3))
    room.deploy(int(third))
    room.gateway.set_split(room.model, {first: 75, third: 25})
    assert room.gateway.split(room.model).weights == {first: 75, third: 25}
    room.site.promote(int(third), 1)
    assert room.gateway.split(room.model).weights == {third: 100} and room.objects() == {third}
    assert room.stage.infer(room.model).status_code == 200
    if room.route:
        assert isinstance(gateway_of(room.stage.settings, room.model), ClusterGateway)
        assert isinstance(room.gateway.source(room.model, first, third), Prometheus)
        with pytest.raises(InputError, match=r"canary\.mirror_s"):
            room.gateway.set_split(room.model, {third: 100}, mirror=first)
        room.gateway.retire(room.model)
        assert room.gateway.split(room.model) is None


def test_a_process_gets_no_traffic_of_the_clusters_gateway(stage, space):
    revision = stage.serve("near", "1")
    stage.gateway.add_revision(revision.endpoint())
    there = ClusterGateway(stage.settings, access(stage.settings, space.name, route="ingress-nginx", prometheus="http://127.0.0.1:9"))
    with pytest.raises(InputError, match="revision 1 is no server of the cluster"):
        there.set_split("near", {"1": 100})
    assert stage.gateway.split("near") is None
    stage.gateway.retire("near")
    stage.backend.stop(revision)


def test_a_route_needs_a_prometheus(stage):
    with pytest.raises(InputError, match="route httproute needs prometheus"):
        access(stage.settings, "n", route="httproute")
