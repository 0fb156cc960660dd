"""Which of Triton's children are stubs. (What the guard does when one dies: test_triton_faults.py.)"""

import os
import select

import pytest

from include.backends.triton.guard import is_stub, watched

STUB = "/x/backends/python/triton_python_backend_stub"


@pytest.mark.parametrize(
    ("command", "stub"),
    [
        ([STUB, "/m/model.py", "updraft_1"], True),
        (["bash", "-c", f" exec {STUB} /m/model.py updraft_1"], True),  # it becomes one
        (["sh", "-c", f"{STUB}> /dev/null 2>&1"], False),  # Triton tries whether it can be run at all
        ([STUB], False),
        (["/x/bin/tritonserver", "--model-repository=/m"], False),  # a fork that will be one of the above
        ([], False),
    ],
)
def test_a_stub_is_known_by_its_model(command, stub):
    assert is_stub(command) is stub


def test_shared_memory_that_somebody_makes_is_told_by_the_kernel(tmp_path):
    made = watched(tmp_path)
    assert made is not None
    poller = select.poll()
    poller.register(made, select.POLLIN)
    assert poller.poll(0) == []
    (tmp_path / "updraft_1_region").touch()
    assert poller.poll(1000)
    assert os.read(made, 4096) and poller.poll(0) == []
    os.close(made)


def test_where_nothing_is_told_it_is_looked_for(tmp_path):
    assert watched(tmp_path / "none") is None
