"""How the fields of a spec must fit together."""

from collections.abc import Callable
from pathlib import Path

import pytest

from include.kinds.load import load
from include.spec.problem import SpecError

DATA = "name: wine\ntask: classification\ndata: {source: 'data:load', target: kind, %s}\n"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("train: {params: {a: 1}}\nserve: {params: {a: 1}}\n", "serve.params.a: is a parameter of `train.params` too"),
        ("train: {params: {min_score: 1}}\n", "train.params.min_score: is the name of one of the platform's own run parameters."),
        ("train: {params: {data_source: x}}\n", "train.params.data_source: is the name of one"),
        ("train: {params: {a: {default: 1, minimum: 2}}}\n", "train.params.a.default: 1 is below the minimum 2."),
        ("train: {params: {a: {default: 9, maximum: 2.5}}}\n", "train.params.a.default: 9 is above the maximum 2.5."),
        ("train: {params: {a: {default: 1, minimum: 3, maximum: 2}}}\n", "train.params.a.minimum: 3 is above the maximum 2."),
        ("train: {params: {a: {default: x, choices: [y, z]}}}\n", "train.params.a.default: 'x' is none of the choices y, z."),
        ("train: {params: {a: {default: true, choices: [1, 2]}}}\n", "train.params.a.default: True is none of the choices 1, 2."),
        ("train: {params: {a: {default: x, minimum: 1}}}\n", "train.params.a: has a minimum or maximum, but its default is no number."),
        (
            "train: {trusted_types: [own.Steady, builtins.eval]}\n",
            "train.trusted_types[1]: is a part of Python that a stored model must not",
        ),
        ("canary: {steps: [10, 50, 25]}\n", "canary.steps: [10, 50, 25] does not rise."),
        ("canary: {steps: [10, 10]}\n", "canary.steps: [10, 10] does not rise."),
        ("canary: {step_s: 5, look_s: 6}\n", "canary.look_s: 6 s is longer than a step (5 s)."),
        ("gate: {bars: [{metric: log_loss}]}\n", "gate.bars[0]: the bar on 'log_loss' has neither `min` nor `max`."),
        ("gate: {bars: [{metric: log_loss, min: 2, max: 1}]}\n", "gate.bars[0]: no 'log_loss' is at least 2 and at most 1."),
        (
            "gate: {bars: [{metric: acuracy, min: 1}]}\n",
            "gate.bars[0].metric: 'acuracy' is no metric of classification. Did you mean `accuracy`?",
        ),
        ("gate: {metric: r2}\n", "gate.metric: 'r2' is no metric of classification."),
        ("gate: {metric: log_loss}\n", "gate.metric: less is better in 'log_loss'."),
        ("train: {resources: {priority: 7}}\n", "train.resources.gpus: must say how much GPU, in exactly one way."),
        ("train: {resources: {gpus: 1, memory: 20GiB}}\n", "train.resources.gpus: must say how much GPU, in exactly one way."),
        ("train: {resources: {memory: lots}}\n", "train.resources.memory: is 'lots'. Give a size such as `20GiB`"),
        ("optimize: {methods: [graph, graph]}\n", "optimize.methods: names 'graph' twice."),
        ("optimize: {tensorrt: {required: true}}\n", "optimize.tensorrt.required: `optimize.methods` names no TensorRT method."),
        (
            "optimize: {methods: [tensorrt_fp16], tensorrt: {required: true}, resources: {gpus: 1}}\n",
            "optimize.tensorrt.required: a plan needs a GPU, and `serve.resources` asks for none.",
        ),
        (
            "optimize: {methods: [tensorrt_fp16], tensorrt: {required: true}}\nserve: {resources: {gpus: 1}}\n",
            "optimize.tensorrt.required: a plan needs a GPU, and `optimize.resources` asks for none.",
        ),
        ("serve: {preferred_batch_sizes: [8, 4]}\n", "serve.preferred_batch_sizes: [8, 4] does not rise."),
        (
            "serve: {max_batch_size: 8, preferred_batch_sizes: [4, 16]}\n",
            "serve.preferred_batch_sizes: 16 is above `serve.max_batch_size` (8).",
        ),
        ("optimize: {resources: {mig: small}}\n", "optimize.resources.mig: is 'small'. Give a MIG profile such as `1g.10gb`."),
        ("train: {resources: {memory: auto}}\n", "train.resources.memory: `auto` and `estimate` belong together."),
        ("train: {resources: {gpus: 1, estimate: {model: x}}}\n", "train.resources.memory: `auto` and `estimate` belong together."),
        ("serve: {resources: {memory: auto}}\n", "serve.resources.memory: `auto` is not known of triton. Give a size such as `20GiB`."),
        ("serve: {resources: {gpus: 1, estimate: {model: x}}}\n", "serve.resources.estimate: is of a training."),
        ("train: {workers: 2}\n", "train.workers: runtime trainer has no torch: scikit-learn is not distributed."),
        ("train: {launcher: ray}\n", "train.launcher: runtime trainer has no torch"),
        ("train: {launcher: mpi}\n", "train.launcher: "),
        ("train: {runtime: llm, workers: 3, resources: {gpus: 2, nodes: 2}}\n", "train.workers: 3 can't be spread evenly over 2 nodes."),
        ("train: {runtime: llm, resources: {gpus: 1, nodes: 2}}\n", "train.workers: 1 can't be spread evenly over 2 nodes."),
        ("train: {runtime: llm, workers: 4, resources: {gpus: 1, nodes: 2}}\n", "train.workers: 4 are more than the 2 GPUs"),
        ("train: {runtime: llm, workers: 2, resources: {memory: 8GiB}}\n", "train.workers: 2 are more than the 1 GPU of"),
        ("train: {runtime: llm, workers: 2, resources: {fraction: 0.5, nodes: 2}}\n", "train.resources.nodes: is for whole GPUs"),
        (
            "target: process\ntrain: {runtime: llm, workers: 2, resources: {gpus: 1, nodes: 2}}\n",
            "train.resources.nodes: target process is one machine. Write `target: kubernetes`",
        ),
        ("train: {runtime: llm, workers: 2, launcher: ray, resources: {memory: 8GiB}}\n", "train.resources: Ray hands out whole GPUs."),
        ("optimize: {resources: {gpus: 1, nodes: 2}}\n", "optimize.resources.nodes: only training runs on several nodes."),
        ("serve: {resources: {gpus: 1, nodes: 2}}\n", "serve.resources.nodes: only training runs on several nodes."),
        ("gate: {slices: [a, a]}\n", "gate.slices: names 'a' twice."),
        ("schedule: '@dayly'\n", "schedule: '@dayly' is no cron expression: it has 1 fields, not 5. Did you mean `@daily`?"),
        ("schedule: '61 * * * *'\n", "schedule: '61' is no minute"),
    ],
)
def test_contradictions_are_named(write: Callable[..., Path], more: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(write(more))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("features: [a, kind]", "data.features[1]: 'kind' is the target."),
        ("features: [a, g], group: g", "data.features[1]: 'g' is the group."),
        ("features: [a, b], exclude: [b]", "data.features[1]: 'b' is excluded as well."),
        ("features: [a, a]", "data.features: names 'a' twice."),
        ("features: []", "data.features: names no column."),
        ("exclude: [kind]", "data.exclude: names the target 'kind'."),
        ("exclude: [a, a]", "data.exclude: names 'a' twice."),
        ("group: kind", "data.group: is the target."),
        ("csv: {decimal: ',', thousands: ','}", "data.csv.thousands: is ',', and so is `data.csv.decimal`"),
    ],
)
def test_columns_have_one_role(write: Callable[..., Path], columns: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(write(DATA % columns, whole=True))
    assert expected in str(caught.value)


def test_an_excluded_column_may_be_a_slice(write: Callable[..., Path]) -> None:
    spec = load(write(DATA % "exclude: [sex]" + "gate: {slices: [sex]}\n", whole=True))
    assert spec.gate.slices == spec.data.exclude == ("sex",)
