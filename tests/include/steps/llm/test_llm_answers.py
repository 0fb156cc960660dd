"""What a network answers and what a reference answer costs it: in a padded batch as alone, as transformers itself says."""

import json
import subprocess
from pathlib import Path

import pytest

from include.runtime.settings import REPO, Settings
from tests.include.steps.conftest import Mlflow, Trainer
from tests.include.steps.llm.taught import Taught

pytestmark = pytest.mark.integration
SPEC = {"kind": "llm", "name": "tiny", "base": "base:make", "data": {"source": "chats.jsonl"}}
PROGRAM = """
import json, sys
from pathlib import Path
import torch
from include.data import chats
from include.errors import InputError
from include.kinds.llm import answers
from include.spec.llm import LlmSpec

model = answers.Model.load(Path(sys.argv[1]))
rows = chats.table(Path(sys.argv[2]))
alone = []
counts = model.losses(rows)[1].tolist()
for row, count in zip(rows, counts):
    whole = model.tokenizer.apply_chat_template(row.messages, tokenize=False).rstrip()
    ids = torch.tensor([model.ids([whole])[0]])
    labels = torch.full_like(ids, -100)
    labels[0, -count:] = ids[0, -count:]
    with torch.inference_mode():
        alone.append(float(model.network(input_ids=ids, labels=labels).loss) * count)
batches = []
for answers.BATCH_TOKENS in (1, 200, 100_000):
    said = model.answer(rows, [24] * len(rows))
    texts, ended = [one.text for one in said], [one.ended for one in said]
    batches.append({"losses": model.losses(rows)[0].tolist(), "said": texts, "ended": ended})
spec = LlmSpec.model_validate(json.loads(sys.argv[3]))
def asking(name, words):
    return chats.Row(name, "eval", "all", [{"role": "user", "content": "a " * words}, rows[0].messages[-1]])

long = [*rows[:2], asking("long", 52)]
limits = answers.limits(model, long, spec)
try:
    answers.limits(model, [*long, asking("longer", 60)], spec)
    refused = ""
except InputError as error:
    refused = str(error)
long_said = [[one.text, one.ended] for one in model.answer(long, limits)]
cut = [one.ended for one in model.answer(rows[:3], [2] * 3)]
more = {"limits": limits, "refused": refused, "long": long_said}
print(json.dumps(more | {"alone": alone, "counts": counts, "batches": batches, "cut": cut, "ids": model.ids([row.answer for row in rows])}))
"""


def test_a_row_costs_and_says_the_same_in_any_batch_as_alone(tmp_path: Path, llm: Trainer, mlflow: Mlflow) -> None:
    model = Taught.make(tmp_path / "one", llm, mlflow)
    command = [str(Settings.load().python("llm")), "-c", PROGRAM, model.base, str(model.table), json.dumps(SPEC)]
    printed = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed.splitlines()[-1])  # a slow machine is told how far it has come
    rows = [json.loads(line) for line in model.table.read_text().splitlines()]
    for batch in found["batches"]:
        assert batch["losses"] == pytest.approx(found["alone"], abs=1e-4)
        assert batch["said"] == [row["messages"][-1]["content"] for row in rows] and all(batch["ended"])
    first, second, least = found["limits"]
    assert first == second > least, "a long prompt takes room from its own answer alone"
    assert [one for one in found["long"][:2]] == [[row["messages"][-1]["content"], True] for row in rows[:2]]
    assert "the held-out chat longer has a prompt of" in found["refused"] and "serve.context" in found["refused"]
    assert found["counts"] == [len(ids) + 1 for ids in found["ids"]], "the answer and the token that ends it"
    assert found["cut"] == [False, False, False]
