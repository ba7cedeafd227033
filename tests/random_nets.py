"""Small random networks of all sorts, the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.gaussian import gaussian

ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU,
    lambda: nn.LeakyReLU(0.2),
    lambda: nn.PReLU(1, 0.3),
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Softsign,
)


class Abs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class Net(nn.Module):
    """Blocks behind each other, and heads of the last image."""

    def __init__(self, blocks: list[nn.Module], heads: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Any:
        image = self.blocks(x)
        outputs = [head(image) for head in self.heads]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * self.inner(x)


class Joined(nn.Module):
    """Branches of one tensor, in a row of channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Sliced(nn.Module):
    """The first channels through a map, and the others as they are."""

    def __init__(self, inner: nn.Module, count: int) -> None:
        super().__init__()
        self.inner, self.count = inner, count

    def forward(self, x: Tensor) -> Tensor:
        first, others = x[:, : self.count], x[:, self.count :]
        return torch.cat([self.inner(first), others], 1)


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(tuple(range(2, x.ndim)))


def random_net(seed: int) -> tuple[nn.Module, tuple[int, ...]]:
    """A network in float64 and the shape of its input."""
    draw = random.Random(seed)
    made = _Made(draw, draw.choice((1, 2, 2)))
    for _ in range(draw.randint(2, 5)):
        made.block()
    net = Net(made.blocks, made.heads()).double().eval()
    for number, (name, tensor) in enumerate(net.state_dict().items()):
        if "num_batches" in name:
            continue
        fan = max(1, tensor[0].numel()) if tensor.ndim > 1 else 4
        values = gaussian(1000 * seed + number, *tensor.shape) / math.sqrt(fan)
        tensor.copy_(values**2 + 0.1 if "running_var" in name else values)
    return net, made.shape


class _Made:
    """Blocks, and the shape of the image behind them."""

    def __init__(self, draw: random.Random, dim: int) -> None:
        self.draw, self.dim = draw, dim
        self.channels = draw.randint(1, 3)
        self.sizes = [draw.randint(4, 6) for _ in range(dim)]
        self.shape = (self.channels, *self.sizes)
        self.blocks: list[nn.Module] = []
        # one way of padding for a network, mostly: a torus holds no two
        self.mode = draw.choice(("zeros", "zeros", "circular", "valid"))

    def block(self) -> None:
        kinds = ("conv", "conv", "norm", "activation", "activation", "pool", "residual")
        kind = self.draw.choice((*kinds, "joined", "sliced", "absolute"))
        getattr(self, f"_{kind}")()

    def heads(self) -> list[nn.Module]:
        """One or two outputs."""
        pixels = math.prod(self.sizes)
        choices: list[Callable[[], nn.Module]] = [
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(self.channels * pixels, 3)),
            lambda: nn.Sequential(Mean(), nn.Linear(self.channels, 3)),
            lambda: nn.Sequential(
                Mean(), nn.Linear(self.channels, 4), nn.ReLU(), nn.Linear(4, 2)
            ),
            nn.Identity,
        ]
        count = self.draw.choice((1, 1, 2))
        return [choice() for choice in self.draw.sample(choices, count)]

    def _module(self, name: str) -> Any:
        return getattr(nn, f"{name}{self.dim}d")

    def _same(self, into: int, out: int) -> nn.Module:
        """A convolution that keeps the size."""
        mode = "zeros" if self.mode == "valid" else self.mode
        kernel = self.draw.choice((1, 3))
        conv: nn.Module = self._module("Conv")(
            into, out, kernel, padding=kernel // 2, padding_mode=mode
        )
        return conv

    def _conv(self) -> None:
        out = self.draw.randint(1, 3)
        stride = self.draw.choice((1, 1, 2))
        circular = self.mode == "circular"
        if circular and any(size % stride for size in self.sizes):
            stride = 1
        kernel = self.draw.choice((1, 2, 3) if self.mode == "valid" else (1, 3))
        if min(self.sizes) < 3:
            kernel = 1
        pad = 0 if self.mode == "valid" else kernel // 2
        groups = self.channels if self.draw.random() < 0.2 else 1
        out *= groups
        mode = "circular" if circular else "zeros"
        conv = self._module("Conv")(
            self.channels, out, kernel, stride, pad, groups=groups, padding_mode=mode
        )
        self._add(conv, out, [(n + 2 * pad - kernel) // stride + 1 for n in self.sizes])

    def _add(self, module: nn.Module, channels: int, sizes: list[int]) -> None:
        self.blocks.append(module)
        self.channels, self.sizes = channels, sizes

    def _norm(self) -> None:
        self.blocks.append(self._module("BatchNorm")(self.channels))

    def _activation(self) -> None:
        self.blocks.append(self.draw.choice(ACTIVATIONS)())

    def _absolute(self) -> None:
        self.blocks.append(Abs())

    def _pool(self) -> None:
        if min(self.sizes) < 3:
            return
        name = self.draw.choice(("MaxPool", "AvgPool"))
        kernel, stride = self.draw.choice(((2, 2), (3, 2), (2, 1)))
        pool = self._module(name)(kernel, stride)
        self._add(pool, self.channels, [(n - kernel) // stride + 1 for n in self.sizes])

    def _residual(self) -> None:
        width = self.draw.randint(1, 3)
        inner = nn.Sequential(
            self._same(self.channels, width),
            self.draw.choice(ACTIVATIONS)(),
            self._same(width, self.channels),
        )
        self.blocks.append(Residual(inner, self.draw.choice((1.0, -0.5))))

    def _joined(self) -> None:
        first = nn.Sequential(self._same(self.channels, 2), nn.ReLU())
        second = self.draw.choice((nn.Identity(), self._same(self.channels, 1)))
        width = 2 + (self.channels if isinstance(second, nn.Identity) else 1)
        if width <= 5:
            self._add(Joined(first, second), width, self.sizes)

    def _sliced(self) -> None:
        if self.channels < 2:
            return
        inner = nn.Sequential(self._same(1, 1), nn.ReLU())
        self.blocks.append(Sliced(inner, 1))
