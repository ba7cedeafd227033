"""Small random networks that multiply data with data, on a domain of their inputs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.gaussian import gaussian
from tests.random_nets import ACTIVATIONS, Mean, Net
from tests.reshaping_nets import Call

# of one argument, with a constant on bounded intervals, defined for all numbers
CURVES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda x: x * x,
    lambda x: x**3,
    lambda x: (x / 4).exp(),
    lambda x: 1 / (x * x + 1),
    lambda x: x / (x.abs() + 0.5),
    lambda x: (x.abs() + 0.1).log(),
    lambda x: (x**2 + 0.1).sqrt(),
    lambda x: x * torch.sigmoid(2 * x) * x,
)


class Excited(nn.Module):
    """Squeeze and excitation: a factor for each channel, from the means of all."""

    def __init__(self, channels: int, width: int, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(tuple(range(2, x.ndim)))
        factor = self.gate(self.up(self.down(mean).relu()))
        return x * factor.reshape(1, -1, *[1] * (x.ndim - 2))


class Gated(nn.Module):
    """A tensor times a function of it, or over one that is above 1/2."""

    def __init__(self, first: nn.Module, second: nn.Module, over: bool) -> None:
        super().__init__()
        self.first, self.second, self.over = first, second, over

    def forward(self, x: Tensor) -> Tensor:
        factor = torch.sigmoid(self.second(x))
        return self.first(x) / (factor + 0.5) if self.over else self.first(x) * factor


def gated_net(seed: int) -> tuple[nn.Module, tuple[int, ...], tuple[Tensor, Tensor]]:
    """A network in float64, the shape of its input, and a domain."""
    draw = random.Random(seed)
    dim, channels = draw.choice((1, 2, 2)), draw.randint(1, 3)
    shape = (channels, *[draw.choice((1, 3, 4, 5)) for _ in range(dim)])
    blocks: list[nn.Module] = []
    for _ in range(draw.randint(1, 3)):
        block, channels = _block(draw, dim, channels)
        blocks.append(block)
    head = draw.choice((nn.Identity(), nn.Sequential(Mean(), nn.Linear(channels, 2))))
    net = Net(blocks, [head]).double().eval()
    for number, tensor in enumerate(net.state_dict().values()):
        fan = max(1, tensor[0].numel()) if tensor.ndim > 1 else 4
        tensor.copy_(gaussian(3000 * seed + number, *tensor.shape) / math.sqrt(fan))
    middle, reach = gaussian(seed, *shape), draw.choice((0.0, 1e-3, 0.1, 1.0))
    width = reach * gaussian(seed + 1, *shape).abs()
    return net, shape, (middle - width, middle + width)


def _block(draw: random.Random, dim: int, channels: int) -> tuple[nn.Module, int]:
    """A map that keeps sizes, and how many channels it leaves."""

    def conv(out: int) -> nn.Module:
        kernel = draw.choice((1, 3))
        made: nn.Module = getattr(nn, f"Conv{dim}d")(
            channels, out, kernel, padding=kernel // 2
        )
        return made

    kind = draw.choice(("conv", "excited", "excited", "gated", "gated", "curve", "flat"))
    if kind == "conv":
        out = draw.randint(1, 3)
        return nn.Sequential(conv(out), draw.choice(ACTIVATIONS)()), out
    if kind == "excited":
        gate = draw.choice((nn.Sigmoid, nn.Hardsigmoid, nn.Tanh))()
        return Excited(channels, draw.randint(1, 2), gate), channels
    if kind == "gated":
        out = draw.choice((1, channels))  # one channel is broadcast to all
        first = conv(channels) if draw.random() < 0.5 else nn.Identity()
        return Gated(first, conv(out), draw.random() < 0.3), channels
    if kind == "curve":
        return Call(draw.choice(CURVES)), channels
    return Call(draw.choice((_by_its_edge, _by_its_largest))), channels


def _by_its_edge(x: Tensor) -> Tensor:
    return x * x[..., :1].tanh()


def _by_its_largest(x: Tensor) -> Tensor:
    return x / (x.amax(1, keepdim=True).abs() + 1)
