"""Layers drawn at random, as laws of what steps cost are fitted to them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Drawn", "drawn_layers"]

CHANNELS = (1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512)
MODES = ("zeros", "circular", "reflect", "replicate")
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# pixels along an axis, at least and at most, and channels at most, by dimension
SIZES = ((16, 20_000), (5, 256), (5, 48))
WIDEST = (512, 512, 128)
# entries of an operator, and pixels of its larger image: more take minutes
MOST_READS, MOST_PIXELS = 3e11, 3e7


@dataclass(frozen=True)
class Drawn:
    """A layer and the shape of its input."""

    layer: nn.Module
    shape: tuple[int, ...]


def drawn_layers(seed: int) -> Iterator[Drawn]:
    """Layers without end: mostly ordinary ones, some of every kind."""
    rng, noise = random.Random(seed), torch.Generator().manual_seed(seed)
    while True:
        drawn = _drawn(rng)
        if drawn is not None:
            _fill(drawn.layer, rng, noise)
            yield drawn


def _drawn(rng: random.Random) -> Drawn | None:
    """A layer without its weights; None if it would take too long, or is none."""
    dim = rng.choices((1, 2, 3), (1, 8, 1))[0]
    shortest, longest = SIZES[dim - 1]
    size = int(math.exp(rng.uniform(math.log(shortest), math.log(longest))))
    c_in = min(rng.choice(CHANNELS), WIDEST[dim - 1])
    c_out = min(rng.choice([c_in, *CHANNELS]), WIDEST[dim - 1])
    kernel = rng.choices((1, 2, 3, 4, 5, 7), (2, 1, 8, 1, 2, 1))[0]
    stride = rng.choices((1, 2, 3), (6, 3, 0.5))[0]
    dilation = rng.choices((1, 2, 3), (8, 1, 0.3))[0] if stride == 1 else 1
    same = dilation * (kernel - 1) // 2
    padding = same if rng.random() < 0.8 else 0
    groups, lot = 1, rng.random()
    if lot < 0.15:
        c_out = groups = c_in
    elif lot < 0.2 and c_in % 4 == c_out % 4 == 0:
        groups = 4
    reads = c_in * c_out // groups * kernel**dim * size**dim
    if reads > MOST_READS or size**dim * max(c_in, c_out) > MOST_PIXELS:
        return None
    if size + 2 * padding <= dilation * (kernel - 1):
        return None
    if rng.random() < 0.08:
        layer: nn.Module = TRANSPOSED[dim - 1](
            c_in, c_out, kernel, stride, min(padding, kernel - 1), groups=groups
        )
        return Drawn(layer, (c_in, *[size] * dim))
    mode: Any = rng.choices(("zeros", "circular", "reflect", "replicate"), (9, 1, 1, 1))[
        0
    ]
    layer = LAYERS[dim - 1](
        *(c_in, c_out, kernel, stride, padding, dilation, groups),
        padding_mode=mode if 0 < padding < size else "zeros",
    )
    return Drawn(layer, (c_in, *[size] * dim))


def _fill(layer: nn.Module, rng: random.Random, noise: torch.Generator) -> None:
    """Noise for weights, or as training leaves them: smooth, of channels unlike."""
    weight = layer.get_parameter("weight")
    values = torch.randn(weight.shape, generator=noise, dtype=torch.float32)
    if rng.random() < 0.5:
        values = _smooth(values, rng, noise)
        for axis in (0, 1):
            values = _decaying(values, axis, rng.choice((0.2, 0.5, 1.0)))
    with torch.no_grad():
        weight.copy_(values / torch.linalg.vector_norm(values))


def _smooth(values: Tensor, rng: random.Random, noise: torch.Generator) -> Tensor:
    """A window over the taps, and something that all of them have."""
    kernel, dim = values.shape[-1], values.ndim - 2
    if kernel == 1:
        return values
    line = torch.arange(kernel, dtype=torch.float32) - (kernel - 1) / 2
    width = 0.5 + rng.random() * kernel
    for axis in range(2, 2 + dim):
        shape = [kernel if j == axis else 1 for j in range(2 + dim)]
        values = values * torch.exp(-(line**2) / width).view(shape)
    common = torch.randn(
        *values.shape[:2], *[1] * dim, generator=noise, dtype=torch.float32
    )
    return values + rng.choice((0.0, 0.5, 1.0, 2.0)) * rng.random() * common


def _decaying(values: Tensor, axis: int, power: float) -> Tensor:
    """Slices along an axis, each smaller than the one before."""
    line = (1 + torch.arange(values.shape[axis], dtype=torch.float32)) ** -power
    shape = [-1 if j == axis else 1 for j in range(values.ndim)]
    return values * line.view(shape)
