"""Which of Triton's children are stubs. (What the guard does when one dies: test_triton_faults.py.)"""

import pytest

from include.backends.triton.guard import is_stub

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
