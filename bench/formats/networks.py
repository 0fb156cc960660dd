"""Networks of PyTorch as people build them, with random weights: what public model collections hold, and what an exporter stumbles over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 4
PICTURE, ROW, SERIES, WORDS = "picture", "row", "series", "words"
SIDE, WIDTH, LENGTH, PIECES = 24, 10, 20, 50


@dataclass(frozen=True)
class Network:
    """``make`` gives the module, which takes what ``takes`` says: a picture [3, 24, 24], a row [10], a series [6, 20], or words [20] (of 50
    pieces) with their mask."""

    name: str
    make: Callable[[], nn.Module]
    takes: str
    numbers: bool = False
    """It answers one number, not a score a class."""


class Calls(nn.Module):
    """A module whose forward is a function of its ``parts`` and what it is given."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.parts, self.own = nn.ModuleDict(parts), forward

    def forward(self, *given: Tensor) -> Any:
        return self.own(self.parts, *given)


def conv(inside: int, outside: int, size: int = 3, **more: Any) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, size, padding=size // 2, bias=False, **more), nn.BatchNorm2d(outside), nn.ReLU())


def ended(*body: nn.Module, width: int = 16) -> nn.Sequential:
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def residual(body: nn.Module) -> nn.Module:
    return Calls(lambda parts, x: x + parts["body"](x), body=body)


def squeezed(width: int) -> nn.Module:
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 4, 1), nn.SiLU(), nn.Conv2d(4, width, 1), nn.Sigmoid())
    return Calls(lambda parts, x: x * parts["gate"](x), gate=gate)


def inverted(width: int) -> nn.Module:
    return residual(nn.Sequential(conv(width, 32, 1), conv(32, 32, groups=32), squeezed(32), nn.Conv2d(32, width, 1)))


def branches(*ways: nn.Module) -> nn.Module:
    named = {f"way{number}": way for number, way in enumerate(ways)}
    return Calls(lambda parts, x: torch.cat([way(x) for way in parts.values()], dim=1), **named)


def dense() -> nn.Module:
    grow = branches(nn.Identity(), conv(8, 8))
    return ended(conv(3, 8), grow)


def shuffled() -> nn.Module:
    def shuffle(parts: Any, x: Tensor) -> Tensor:
        rows, width, high, wide = x.shape
        return parts["last"](x.view(rows, 2, width // 2, high, wide).transpose(1, 2).reshape(rows, width, high, wide))

    return ended(conv(3, 16), Calls(shuffle, last=conv(16, 16, groups=2)))


def unet() -> nn.Module:
    def forward(parts: Any, x: Tensor) -> Tensor:
        fine = parts["down"](x)
        coarse = parts["deep"](F.max_pool2d(fine, 2))
        wide = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return parts["end"](torch.cat([fine, wide], dim=1))

    return Calls(forward, down=conv(3, 8), deep=conv(8, 8), end=ended(conv(16, 16)))


def pyramid() -> nn.Module:
    def forward(parts: Any, x: Tensor) -> Tensor:
        return parts["end"](torch.cat([F.adaptive_avg_pool2d(parts["body"](x), size).flatten(1) for size in (1, 2, 3)], dim=1))

    return Calls(forward, body=conv(3, 8), end=nn.Linear(8 * 14, CLASSES))


def convnext() -> nn.Module:
    last = Calls(lambda parts, x: parts["norm"](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(16))
    return ended(
        nn.Conv2d(3, 16, 4, 4), residual(nn.Sequential(nn.Conv2d(16, 16, 7, padding=3, groups=16), last, nn.Conv2d(16, 16, 1), nn.GELU()))
    )


def vit(token: bool) -> nn.Module:
    class Vit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.token = nn.Conv2d(3, 32, 8, 8), nn.Parameter(torch.randn(1, 1, 32))
            self.places = nn.Parameter(torch.randn(1, 9 + token, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True, activation="gelu")
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.end = nn.Linear(32, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            rows = self.patches(x).flatten(2).transpose(1, 2)
            if token:
                rows = torch.cat([self.token.expand(x.shape[0], -1, -1), rows], dim=1)
            seen = self.body(rows + self.places)
            return self.end(seen[:, 0] if token else seen.mean(1))

    return Vit()


def windows() -> nn.Module:
    def forward(parts: Any, x: Tensor) -> Tensor:
        rows, width, high, wide = x.shape
        moved = torch.roll(x, (-2, -2), (2, 3))
        split = moved.view(rows, width, high // 6, 6, wide // 6, 6).permute(0, 2, 4, 3, 5, 1).reshape(-1, 36, width)
        seen = parts["attend"](split, split, split, need_weights=False)[0]
        back = seen.reshape(rows, high // 6, wide // 6, 6, 6, width).permute(0, 5, 1, 3, 2, 4).reshape(rows, width, high, wide)
        return torch.roll(back, (2, 2), (2, 3))

    return ended(conv(3, 16), Calls(forward, attend=nn.MultiheadAttention(16, 2, batch_first=True)))


def mixer() -> nn.Module:
    across = Calls(lambda parts, x: parts["own"](x.transpose(1, 2)).transpose(1, 2), own=nn.Sequential(nn.Linear(9, 9), nn.GELU()))
    start = Calls(lambda parts, x: parts["own"](x).flatten(2).transpose(1, 2), own=nn.Conv2d(3, 16, 8, 8))
    end = Calls(lambda parts, x: parts["own"](x.mean(1)), own=nn.Linear(16, CLASSES))
    return nn.Sequential(start, nn.LayerNorm(16), residual(across), residual(nn.Linear(16, 16)), end)


def head(*body: nn.Module, width: int = 16) -> nn.Module:
    return nn.Sequential(*body, nn.Linear(width, CLASSES))


def recurrent(kind: Any, **more: Any) -> nn.Module:
    width = 32 if more.get("bidirectional") else 16
    return Calls(
        lambda parts, x: parts["end"](parts["body"](x.transpose(1, 2))[0][:, -1]),
        body=kind(6, 16, batch_first=True, **more),
        end=nn.Linear(width, CLASSES),
    )


def causal() -> nn.Module:
    layers = [Calls(lambda parts, x, far=far: parts["own"](F.pad(x, (far, 0))), own=nn.Conv1d(6, 6, 2, dilation=far)) for far in (1, 2, 4)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, CLASSES))


def of_words(seen: Callable[[Any, Tensor, Tensor], Tensor], **parts: nn.Module) -> nn.Module:
    def forward(own: Any, words: Tensor, mask: Tensor) -> Tensor:
        return own["end"](seen(own, words, mask))

    return Calls(forward, table=nn.Embedding(PIECES, 16), end=nn.Linear(16, CLASSES), **parts)


def mean(seen: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(seen.dtype)
    return (seen * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def encoder(name: str, config: str, **more: Any) -> Network:
    """A model of the library transformers, small, with one layer behind it."""

    def make() -> nn.Module:
        import transformers

        base = {"vocab_size": PIECES, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
        own = getattr(transformers, f"{config}Config")(**(base | more))
        model = getattr(transformers, f"{config}Model")._from_config(own, attn_implementation="eager")

        def forward(parts: Any, words: Tensor, mask: Tensor) -> Tensor:
            return parts["end"](mean(parts["model"](input_ids=words, attention_mask=mask).last_hidden_state, mask))

        return Calls(forward, model=model, end=nn.Linear(32, CLASSES))

    return Network(name, make, WORDS)


def pictures() -> list[Network]:
    made: dict[str, Callable[[], nn.Module]] = {
        "plain convolutions": lambda: ended(conv(3, 16), nn.MaxPool2d(2), conv(16, 16)),
        "VGG": lambda: nn.Sequential(
            conv(3, 8),
            nn.MaxPool2d(2),
            conv(8, 8),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(288, 32),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(32, CLASSES),
        ),
        "ResNet, basic blocks": lambda: ended(
            conv(3, 16), *[residual(nn.Sequential(conv(16, 16), nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))) for _ in range(2)]
        ),
        "ResNet, bottlenecks and strides": lambda: ended(
            conv(3, 16, 7, stride=2), nn.MaxPool2d(3, 2, 1), residual(nn.Sequential(conv(16, 4, 1), conv(4, 4), conv(4, 16, 1)))
        ),
        "ResNeXt": lambda: ended(conv(3, 16), residual(conv(16, 16, groups=4))),
        "MobileNet": lambda: ended(conv(3, 16, stride=2), inverted(16), inverted(16)),
        "EfficientNet": lambda: ended(conv(3, 16), squeezed(16), inverted(16), nn.SiLU()),
        "hard swish": lambda: ended(conv(3, 16), nn.Hardswish(), nn.Hardsigmoid()),
        "DenseNet": dense,
        "Inception": lambda: ended(branches(conv(3, 4, 1), conv(3, 8, 3), nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(3, 4, 1)))),
        "ShuffleNet": shuffled,
        "SqueezeNet": lambda: nn.Sequential(
            conv(3, 8, 1), branches(conv(8, 8, 1), conv(8, 8)), nn.Conv2d(16, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        "U-Net": unet,
        "pyramid of pools": pyramid,
        "ConvNeXt": convnext,
        "vision transformer with a token": lambda: vit(token=True),
        "vision transformer, mean": lambda: vit(token=False),
        "windows of attention (Swin)": windows,
        "MLP mixer": mixer,
        "group norm": lambda: ended(nn.Conv2d(3, 16, 3), nn.GroupNorm(4, 16), nn.ReLU()),
        "instance norm": lambda: ended(nn.Conv2d(3, 16, 3), nn.InstanceNorm2d(16, affine=True), nn.ReLU()),
        "local response norm": lambda: ended(nn.Conv2d(3, 16, 3), nn.LocalResponseNorm(5)),
        "transposed convolution": lambda: ended(nn.ConvTranspose2d(3, 16, 4, 2, 1), nn.LeakyReLU()),
        "dilated, reflected": lambda: ended(nn.Conv2d(3, 16, 3, padding=2, dilation=2, padding_mode="reflect"), nn.PReLU()),
        "pixel shuffle": lambda: ended(nn.Conv2d(3, 64, 3, padding=1), nn.PixelShuffle(2), nn.ELU()),
        "parametrised by weight norm": lambda: ended(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 16, 3)), nn.Softplus()),
        "spectral norm": lambda: ended(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 16, 3)), nn.Tanh()),
        "an optional head": lambda: ended(conv(3, 16), nn.Identity(), nn.Dropout2d(0.3), nn.AlphaDropout(0.2)),
        "bicubic resize": lambda: ended(Calls(lambda parts, x: F.interpolate(x, scale_factor=2, mode="bicubic")), conv(3, 16)),
        "spatial transformer": lambda: ended(
            Calls(
                lambda parts, x: F.grid_sample(
                    x, F.affine_grid(parts["own"](x.flatten(1)).view(-1, 2, 3), list(x.shape), align_corners=False), align_corners=False
                ),
                own=nn.Linear(3 * SIDE * SIDE, 6),
            ),
            conv(3, 16),
        ),
        "frequencies (FFT)": lambda: ended(Calls(lambda parts, x: torch.fft.rfft2(x).abs()), conv(3, 16)),
    }
    return [Network(name, make, PICTURE) for name, make in made.items()]


def rows() -> list[Network]:
    def function(forward: Callable[..., Any], **parts: nn.Module) -> Callable[[], nn.Module]:
        return lambda: Calls(lambda own, x: forward(own, x), end=nn.Linear(WIDTH, CLASSES), **parts)

    made: dict[str, Callable[[], nn.Module]] = {
        "linear": lambda: head(width=WIDTH),
        "perceptron": lambda: head(nn.Linear(WIDTH, 16), nn.ReLU(), nn.BatchNorm1d(16)),
        "SELU": lambda: head(nn.Linear(WIDTH, 16), nn.SELU(), nn.Dropout(0.5)),
        "GLU": lambda: head(nn.Linear(WIDTH, 32), nn.GLU()),
        "maxout": lambda: head(nn.Linear(WIDTH, 32), Calls(lambda parts, x: x.view(-1, 16, 2).amax(-1))),
        "factorisation machine": function(
            lambda own, x: own["end"](x) + 0.5 * (own["v"](x) ** 2 - own["v"](x**2)).sum(1, keepdim=True), v=nn.Linear(WIDTH, 5, bias=False)
        ),
        "mixture of experts": function(
            lambda own, x: torch.einsum("be,bec->bc", own["gate"](x).softmax(-1), torch.stack([own[f"e{n}"](x) for n in range(3)], 1)),
            gate=nn.Linear(WIDTH, 3),
            **{f"e{n}": nn.Linear(WIDTH, CLASSES) for n in range(3)},
        ),
        "the best of experts": function(
            lambda own, x: torch.where(x.sum(1, keepdim=True) > 0, own["end"](x), own["other"](x)), other=nn.Linear(WIDTH, CLASSES)
        ),
        "prototypes by distance": function(lambda own, x: -torch.cdist(x, own["p"].weight), p=nn.Linear(WIDTH, CLASSES)),
        "sorted": function(lambda own, x: own["end"](x.sort(dim=1).values)),
        "the largest": function(lambda own, x: own["few"](x.topk(3, dim=1).values), few=nn.Linear(3, CLASSES)),
        "cumulated": function(lambda own, x: own["end"](x.cumsum(1).cos())),
        "sums by segment": function(lambda own, x: own["end"](torch.zeros_like(x).scatter_add(1, (x > 0).long(), x))),
        "median and quantiles": function(lambda own, x: own["end"](x - x.median(1, keepdim=True).values)),
        "counts": function(lambda own, x: own["end"](torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])).float())),
        "in place": function(lambda own, x: own["end"](x.clone().mul_(2).add_(1).clamp_(-3, 3))),
        "error function": function(lambda own, x: own["end"](torch.erf(x) + torch.special.expit(x) + torch.log1p(x.abs()))),
        "inverse": function(lambda own, x: own["end"](torch.linalg.solve(torch.eye(WIDTH) * 2 + 0 * x[:, :, None], x))),
        "determinant": function(lambda own, x: own["end"](x) * torch.det(x[:, :9].view(-1, 3, 3))[:, None]),
        "singular values": function(lambda own, x: own["end"](x) * torch.linalg.svdvals(x[:, :9].view(-1, 3, 3))[:, :1]),
        "double precision": lambda: head(nn.Linear(WIDTH, 16).double(), Calls(lambda parts, x: x.float())),
        "doubles within": function(lambda own, x: own["end"]((x.double() * 1e-3).exp().float())),
        "by the batch's mean": function(lambda own, x: own["end"](x - x.mean(0, keepdim=True))),
        "the place in the batch": function(lambda own, x: own["end"](x + torch.arange(len(x))[:, None])),
        "batch norm that goes on": lambda: head(nn.Linear(WIDTH, 16), nn.BatchNorm1d(16, track_running_stats=False)),
        "a fixed batch": function(lambda own, x: own["end"](x.view(3, WIDTH))),
        "a branch on values": function(lambda own, x: own["end"](x) if x.sum() > 0 else own["other"](x), other=nn.Linear(WIDTH, CLASSES)),
        "a loop on values": function(lambda own, x: own["end"](x * sum(1 for _ in range(int(x.abs().max()))))),
        "a random answer": function(lambda own, x: own["end"](x + torch.rand_like(x))),
        "dropout by hand": function(lambda own, x: own["end"](F.dropout(x, 0.5, training=True))),
        "numpy inside": function(lambda own, x: own["end"](torch.from_numpy(x.detach().numpy().copy()))),
        "a list of answers": function(lambda own, x: [own["end"](x)]),
        "a dict of answers": function(lambda own, x: {"scores": own["end"](x)}),
        "NaN for some": function(lambda own, x: own["end"](x) + (x[:, :1]).log() * 0),
        "it counts its calls": counted,
        "unique values": function(lambda own, x: own["end"](x) * len(torch.unique(x))),
        "masked select": function(lambda own, x: own["end"](x) + x[x > 0].sum()),
        "complex numbers": function(lambda own, x: own["end"](torch.view_as_real(torch.complex(x, x)).sum(-1))),
        "bits": function(lambda own, x: own["end"](((x.int() & 3) << 1).float())),
        "remainders": function(lambda own, x: own["end"](torch.fmod(x, 0.7) + torch.remainder(x, 0.3) + torch.floor_divide(x, 0.5))),
        "rounding": function(lambda own, x: own["end"](x.round(decimals=1) + x.trunc() + x.frac())),
    }
    numbers = {
        "a number": lambda: nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 1)),
        "a number, flat": lambda: Calls(lambda parts, x: parts["own"](x)[:, 0], own=nn.Linear(WIDTH, 1)),
    }
    found = [Network(name, make, ROW) for name, make in made.items()]
    return [*found, *(Network(name, make, ROW, numbers=True) for name, make in numbers.items())]


def counted() -> nn.Module:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))
            self.end = nn.Linear(WIDTH, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.end(x) + self.calls

    return Counts()
