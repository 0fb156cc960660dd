"""Where an engine is, how it is used, and a container as plain data: no engine is asked."""

import json
from dataclasses import asdict

import pytest

from include.errors import InputError
from include.serving.ports import free_ports
from include.spec.parts import Limits
from include.targets.containers import Container, EngineAccess, EnginePlace, Mount, handed_over, of


@pytest.mark.parametrize(
    ("extra", "environment", "found"),
    [
        ({}, {}, EngineAccess("unix:///var/run/docker.sock")),
        ({}, {"DOCKER_HOST": "tcp://gpu:2375"}, EngineAccess("tcp://gpu:2375")),
        ({"engine": "tcp://other:2375"}, {"DOCKER_HOST": "tcp://gpu:2375"}, EngineAccess("tcp://other:2375")),
        (
            {},
            {"DOCKER_HOST": "tcp://gpu:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"},
            EngineAccess("tcp://gpu:2376", "/c/ca.pem", "/c/cert.pem", "/c/key.pem", True),
        ),
        (
            {"engine": "tcp://gpu:2376", "ca_cert": "a", "client_cert": "b", "client_key": "c"},
            {},
            EngineAccess("tcp://gpu:2376", "a", "b", "c"),
        ),
    ],
)
def test_an_engine_is_named_by_the_connection_else_as_docker_s_own_client_takes_it(extra, environment, found):
    assert EngineAccess.of(extra, environment) == found


def test_half_of_what_tls_needs_is_refused_by_name():
    with pytest.raises(InputError, match="client_cert, client_key"):
        EngineAccess.of({"engine": "tcp://gpu:2376", "ca_cert": "a"}, {})


@pytest.mark.parametrize("address", ["gpu-host", "192.0.2", "192.0.2.7:80", 5])
def test_an_address_that_the_gateway_could_not_use_is_refused(address):
    with pytest.raises(InputError, match="address") as told:
        EnginePlace.of({"address": address})
    assert told.value.where == "connection updraft_docker" and told.value.remedy


def test_a_container_is_the_same_after_its_file():
    container = Container(
        name="a",
        image="sha256:1",
        command=("python", "-V"),
        folder="/f",
        place=EnginePlace(mounts=("/a:/b:ro",), address="192.0.2.7"),
        environment={"A": "b"},
        labels={"c": "d"},
        mounts=(Mount("/s", "/t", True),),
        gpus=("GPU-1",),
        published=(8000,),
        **of(Limits(memory="2GiB", cpus=1.5)),
    )
    assert Container.from_json(json.loads(json.dumps(asdict(container)))) == container


def test_real_devices_are_handed_over_and_simulated_ones_told():
    real = {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2", "NVIDIA_VISIBLE_DEVICES": "GPU-1,GPU-2", "UPDRAFT_GPU_LEASE": "l"}
    assert handed_over(real) == (("GPU-1", "GPU-2"), {"UPDRAFT_GPU_LEASE": "l"})
    simulated = {"CUDA_VISIBLE_DEVICES": "declared/here/gpu-0", "UPDRAFT_GPU_LEASE": "l"}
    assert handed_over(simulated) == ((), simulated)
    assert handed_over({}) == ((), {})


def test_ports_of_another_machine_are_taken_only_by_what_is_known():
    assert free_ports("192.0.2.7", range(21900, 21910), {21901}, 3) == [21900, 21902, 21903]
