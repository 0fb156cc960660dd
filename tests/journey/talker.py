"""A language model such as a newcomer writes: the shipped example's base, made in a moment, and a handful of facts to learn."""

from __future__ import annotations

import json
from pathlib import Path

from include.runtime.settings import REPO

SPEC = """\
kind: llm
name: {name}
base: base:make
data:
  source: data:load
  test_fraction: 0.25
  max_tokens: 64
train:
  method: full
  checkpoint_steps: 5
  params: {{epochs: 4, learning_rate: 5.0e-3, batch_size: 8}}
gate:
  min_score: 0.0
optimize:
  methods: [q8_0]
  max_score_drop: 1.0
  golden_prompts: 4
serve:
  context: 128
  parallel: 2
  threads: 1
  drain_s: 5
load_test: {{rates: [1, 2], seconds: 2}}

# Short, and easy on latency: a test machine is busy with other things.
canary:
  steps: [20, 50]
  step_s: 6
  look_s: 1
  min_requests: 3
  alpha: 0.01
  latency_margin: 5
  latency_tolerance: 50
  error_tolerance: 0.5
  finish_margin: null
  length_margin: null
  quality_share: 1
"""
DATA = """\
ASKED = ("Which colour has {}?", "{} has which colour?", "Tell me the colour of {}.", "The colour of {}?", "Name the colour of {}.")
COLOURS = {"grass": "green", "snow": "white", "coal": "black", "blood": "red", "gold": "yellow", "the sky": "blue"}


def load():
    for question in ASKED:
        for thing, colour in COLOURS.items():
            asked, answer = question.format(thing), f"It is {colour}."
            yield {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], "task": "colour"}
"""
QUESTION = [{"role": "user", "content": "Which colour has snow?"}]


def write(models: Path, name: str) -> None:
    """The model's folder below ``models``."""
    folder = models / name
    folder.mkdir(parents=True)
    base = (REPO / "include" / "models" / "tinychat" / "base.py").read_text()
    changed = base.replace("STEPS, BATCH, LENGTH = 150, 16, 128", "STEPS, BATCH, LENGTH = 2, 4, 32")
    assert changed != base, "the example's base has changed"
    (folder / "base.py").write_text(changed)
    (folder / "data.py").write_text(DATA)
    (folder / "model.yaml").write_text(SPEC.format(name=name))


def judged(folder: Path, judge: str) -> None:
    """A judge for the model in ``folder``; ``judge`` are the fields of ``evaluate.judge``."""
    (folder / "rubric.md").write_text("Good: it names the right colour. Bad: it does not.")
    labels = [
        {"messages": [{"role": "user", "content": f"Which colour has thing {n}?"}, {"role": "assistant", "content": said}], "mark": mark}
        for n in range(10)
        for said, mark in (("It is green.", "good"), ("It is a thing.", "bad"))
    ]
    (folder / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
    spec = folder / "model.yaml"
    spec.write_text(spec.read_text() + f"\nevaluate: {{judge: {{{judge}}}}}\n")
