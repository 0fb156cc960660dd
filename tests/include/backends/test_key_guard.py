"""The guard before servers that know no key, as a process of its own before a real one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from include.backends import guard
from tests.ports import free_port

SIZE = 8 * 1024 * 1024
LAST_WORDS = f"""
import socket, sys
door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    caller, _ = door.accept()
    if caller.recv(65536):
        caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: {SIZE}\\r\\n\\r\\n" + b"x" * {SIZE})
        break
"""


def test_a_slow_caller_gets_all_of_the_last_answer_of_a_server_that_ends(tmp_path: Path) -> None:
    inner, door = free_port(), socket.create_server(("127.0.0.1", 0))
    config = tmp_path / "guard.json"
    config.write_text(json.dumps({"header": "x-key", "key": "secret", "health": "/health"}))
    command = [sys.executable, "-P", str(Path(guard.__file__)), str(config), "--", sys.executable, "-c", LAST_WORDS, str(inner)]
    told = {guard.DOORS: json.dumps({str(inner): door.fileno()})}
    with subprocess.Popen(command, env=os.environ | told, pass_fds=[door.fileno()], start_new_session=True) as process:
        with socket.create_connection(door.getsockname(), timeout=30) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nx-key: secret\r\n\r\n")
            answer = caller.recv(65536)
            process_ended_first = process.poll()
            while part := caller.recv(65536):
                answer += part
        assert process.wait(30) == 0 and process_ended_first is None
    assert answer.endswith(b"\r\n\r\n" + b"x" * SIZE)
