"""Models whose data code does what its name says, and the request for step `extract` of one."""

from dataclasses import replace
from pathlib import Path

from include.kinds.requests import request_of

SOURCES = {
    "quick": "import pandas as pd\ndef load():\n    return pd.DataFrame({'x': range(40), 'y': [0, 1] * 20})",
    "slow": "import time\nopen('{mark}', 'a').write('begun\\n')\ndef load():\n    print('half a', end='', flush=True)\n    time.sleep(600)",
    "raises": "def load():\n    raise KeyError('no such thing')",
    "killed": "import os\ndef load():\n    os.kill(os.getpid(), 9)",
    "exits": "import os\ndef load():\n    os._exit(3)",
    "greedy": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\ndef load():\n    return [0] * (1 << 33)",
    "saves": "import os, time\ndef load():\n    folder = os.environ['UPDRAFT_CHECKPOINTS']\n"
    "    open('{mark}', 'a').write(str(sorted(os.listdir(folder))) + '\\n')\n"
    "    try:\n        time.sleep(600)\n    finally:\n        open(folder + '/state', 'w').write('half way')",
    "deaf": "import time\nopen('{mark}', 'a').write('begun\\n')\ndef load():\n    while True:\n        try:\n            time.sleep(600)\n"
    "        except BaseException:\n            pass",
    "family": "import subprocess, time\ndef load():\n    child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "    open('{mark}', 'w').write(str(child.pid))\n    time.sleep(600)",
}
MODEL = "name: {name}\ntask: classification\ndata: {{source: 'data:load', target: y}}\ntrain: {{params: {{size: 1}}}}\n"


class Asked:
    """A request for step `extract` of a model of its own, whose code does what its name says."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.mark = folder / "marks" / "mark"
        self.mark.parent.mkdir(exist_ok=True)
        self.folder = folder / kind
        self.folder.mkdir()
        (self.folder / "model.yaml").write_text(MODEL.format(name=kind))
        (self.folder / "data.py").write_text(SOURCES[kind].replace("{mark}", str(self.mark)))
        for name, text in {"train.py": "def train(X, y, params): ...\n", "expectations.yaml": "[]\n"}.items():
            (self.folder / name).write_text(text)
        made = request_of(self.folder / "model.yaml", "extract", f"{kind}_lifecycle/{folder.name}")
        self.request = replace(made, keeps=[str(self.mark.parent)])


def begun(asked) -> int:
    """How often the step's code has run."""
    return len(asked.mark.read_text().splitlines()) if asked.mark.exists() else 0
