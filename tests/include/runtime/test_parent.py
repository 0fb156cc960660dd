"""A process that ends with the one that started it: real processes, a real SIGKILL."""

import subprocess
import sys

from tests.waiting import ended, until

STARTS = """
import subprocess, sys, time
from include.runtime.parent import dying_with_this
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], preexec_fn=dying_with_this())
print(child.pid, flush=True)
time.sleep(600)
"""
ORPHAN = "from include.runtime.parent import die_with; die_with(1 << 22); print('lives')"


def test_a_killed_process_takes_along_what_it_started():
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until(lambda: ended(child))


def test_one_whose_parent_has_ended_already_does_not_begin():
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False)
    assert done.returncode == -9 and not done.stdout
