"""The kubelet's answer, as bytes of the wire format written by hand, and from a gRPC server on a socket."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from include.errors import ComponentError
from include.inventory.pod_resources import METHOD, holders, read


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 2**14
    length = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 0x7F | 0x80, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def pod(namespace: str, name: str, **devices: list[str]) -> bytes:
    """A pod of one container; ``gpu`` and ``mig`` stand for their resources."""
    resources = {"gpu": "nvidia.com/gpu", "mig": "nvidia.com/mig-1g.10gb", "other": "example.com/card"}
    lists = [
        field(2, field(1, resources[kind].encode()) + b"".join(field(2, uuid.encode()) for uuid in uuids))
        for kind, uuids in devices.items()
    ]
    cpus = bytes([3 << 3 | 0, 0x96, 0x01])  # a number: cpu_ids, which nobody here reads
    return field(1, field(1, name.encode()) + field(2, namespace.encode()) + field(3, field(1, b"main") + b"".join(lists) + cpus))


LONG = "GPU-" + "0" * 140
ANSWER = pod("team", "train", gpu=["GPU-1", LONG]) + pod("team", "web") + pod("x", "small", mig=["MIG-7"], other=["card-1"])


def test_devices_are_told_with_the_pods_that_hold_them():
    assert read(ANSWER) == {"GPU-1": ("team/train",), LONG: ("team/train",), "MIG-7": ("x/small",)}


def test_shares_of_a_gpu_have_several_holders_each_named_once():
    shared = pod("a", "one", gpu=["GPU-1::0", "GPU-1::3"]) + pod("b", "two", gpu=["GPU-1::1"])
    assert read(shared) == {"GPU-1": ("a/one", "b/two")}


@pytest.mark.parametrize("broken", [ANSWER[:-9], b"\x0b", b"\x0a", b"\x0a" + b"\xff" * 11])
def test_half_an_answer_is_none(broken):
    with pytest.raises(ValueError):
        read(broken)


def test_it_is_asked_by_its_socket_and_a_silent_one_is_an_error(tmp_path):
    import grpc

    class Lister(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: ANSWER) if details.method == METHOD else None

    socket = tmp_path / "kubelet.sock"
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Lister()])
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    try:
        assert holders(socket)["MIG-7"] == ("x/small",)
    finally:
        server.stop(None).wait()
    with pytest.raises(ComponentError, match="pod-resources"):
        holders(tmp_path / "nobody.sock")
