"""Which pod holds which device of this node: the kubelet's own answer (gRPC, PodResourcesLister/List, API v1).

Its message is three strings deep: read here by the wire format, without generated code.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from include.errors import ComponentError
from include.inventory.kubernetes_node import GPU, MIG_PREFIX
from include.runtime.protobuf import BYTES, Message

SOCKET = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
METHOD = "/v1.PodResourcesLister/List"
TIMEOUT_S = 5.0


def holders(socket: Path = SOCKET) -> dict[str, tuple[str, ...]]:
    """Device (a GPU's or MIG instance's UUID) → the pods that hold it, as ``namespace/name``. Raises ComponentError without an answer."""
    import grpc

    try:
        with grpc.insecure_channel(f"unix://{socket}") as channel:
            ask = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
            return read(ask(b"", timeout=TIMEOUT_S))
    except grpc.RpcError as error:
        remedy = "The agent needs the kubelet's folder pod-resources mounted, and to be root in its container."
        raise ComponentError(f"gives no answer: {error.code().name}.", where=str(socket), remedy=remedy) from None
    except ValueError as error:
        raise ComponentError(f"gives no list of pods ({error}).", where=str(socket)) from None


def read(answer: bytes) -> dict[str, tuple[str, ...]]:
    """ListPodResourcesResponse → as :func:`holders`."""
    found: dict[str, tuple[str, ...]] = {}
    for pod in _messages(answer, 1):
        name = "/".join(text.decode() for number in (2, 1) for text in _messages(pod, number))
        for container in _messages(pod, 3):
            for devices in _messages(container, 2):
                resource = b"".join(_messages(devices, 1)).decode()
                if resource != GPU and not resource.startswith(MIG_PREFIX):
                    continue
                for identity in _messages(devices, 2):
                    uuid = identity.decode().partition("::")[0]  # a share of time slicing is <uuid>::<number>
                    found[uuid] = tuple(dict.fromkeys((*found.get(uuid, ()), name)))
    return found


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """The strings or messages of field ``wanted``; all others are passed over. ValueError where the answer is cut off, or is none."""
    message = Message(BytesIO(data), len(data))
    return (message.bytes(length) for number, kind, length in message.fields() if (number, kind) == (wanted, BYTES))
