"""What is kept of a revision."""

import json
from dataclasses import asdict

from include.serving.revision import Revision

KNOWN = Revision("digits", "3", "127.0.0.1", 8100, 8101, 8102, "abc")


def test_what_is_saved_is_read_again(tmp_path):
    chat = Revision("talker", "1", "127.0.0.1", 8103, 0, 0, "def", 300.0, "llamacpp", protocol="openai", health="/health")
    for revision in (KNOWN, chat):
        revision.save(tmp_path)
        assert Revision.read(tmp_path) == revision
    assert (KNOWN.ports, chat.ports) == ((8100, 8101, 8102), (8103,))
    assert (KNOWN.endpoint().protocol, chat.endpoint().protocol) == ("kserve", "openai")


def test_one_that_was_started_when_there_was_only_triton_is_tritons(tmp_path):
    KNOWN.save(tmp_path)
    data = json.loads((tmp_path / "revision.json").read_text())
    del data["backend"]
    (tmp_path / "revision.json").write_text(json.dumps(data))
    assert Revision.read(tmp_path) == KNOWN


def test_a_folder_without_a_readable_revision_holds_none(tmp_path):
    assert Revision.read(tmp_path) is None
    (tmp_path / "revision.json").write_text("{")
    assert Revision.read(tmp_path) is None


def test_one_of_before_the_protocol_was_written_down_speaks_what_its_ports_say(tmp_path):
    for ports, protocol in ((8101, "kserve"), (0, "openai")):
        old = Revision("talker", "1", "127.0.0.1", 8103, ports, 0, "def", 300.0, "any", protocol=protocol)
        former = {"port2": "grpc_port", "port3": "metrics_port"}
        kept = {former.get(name, name): value for name, value in asdict(old).items() if name not in ("protocol", "health")}
        (tmp_path / "revision.json").write_text(json.dumps(kept))
        assert Revision.read(tmp_path) == old
