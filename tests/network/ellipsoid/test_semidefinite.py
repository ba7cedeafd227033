"""Ellipsoids against LipSDP by an interior-point solver, which shares no code with them.

Multipliers of one number for each unit are LipSDP's own, so that no bound of the search
may be less than its optimum, and a good search comes close. Of circular convolutions an
optimum is the same for all places of an image: one number for each channel loses nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from tests.gaussian import gaussian

pytest.importorskip("cvxpy")
pytest.importorskip("clarabel")

from benchmarks.published_constants import lip_sdp

# of the solver, relative
SOLVED = 1e-6
NETS = {
    "one layer": (3, 6, 2),
    "one output": (4, 8, 1),
    "more inputs than units": (9, 5, 3),
    "two layers": (3, 5, 5, 2),
    "three layers": (2, 4, 5, 4, 2),
}
CIRCLES = {"1-2-1": (1, 2, 1), "2-3-2": (2, 3, 2), "1-2-2-1": (1, 2, 2, 1)}
SIZE = 6


def interleaved(layers: Sequence[nn.Module]) -> nn.Sequential:
    """Layers with their weights drawn, ReLUs between them."""
    for seed, layer in enumerate(layers):
        shape = layer.weight.shape
        layer.weight.data = gaussian(seed, *shape) / math.sqrt(math.prod(shape[1:]))
    parts = [part for layer in layers for part in (layer, nn.ReLU())]
    return nn.Sequential(*parts[:-1]).double()


def least(net: nn.Module, shape: tuple[int, ...], method: str, step: str) -> float:
    """The best of one kind of ellipsoid."""
    bound = cs.lipschitz(net, shape, method=method, seconds=20, lower=False)
    return min(each.upper for each in bound.steps if each.name.endswith(step))


@pytest.mark.slow
@pytest.mark.parametrize("widths", NETS.values(), ids=NETS)
def test_vectors_come_close_to_the_optimum(widths: tuple[int, ...]) -> None:
    pairs = itertools.pairwise(widths)
    layers = [nn.Linear(a, b, bias=False) for a, b in pairs]
    net = interleaved(layers)
    optimum = lip_sdp([layer.weight.detach().numpy() for layer in layers])
    found = least(net, widths[:1], "dense", "dense ellipsoid")
    assert optimum * (1 - SOLVED) <= found <= optimum * 1.002


def circulant(weight: torch.Tensor) -> np.ndarray:
    """The matrix of a circular convolution of one axis, entry by entry."""
    outputs, inputs, taps = weight.shape
    matrix = np.zeros((outputs, SIZE, inputs, SIZE))
    for place in range(SIZE):
        for tap in range(taps):
            read = (place + tap - taps // 2) % SIZE
            matrix[:, place, :, read] += weight[:, :, tap].numpy()
    return matrix.reshape(outputs * SIZE, inputs * SIZE)


@pytest.mark.parametrize("channels", CIRCLES.values(), ids=CIRCLES)
def test_circles_lose_nothing(channels: tuple[int, ...]) -> None:
    pairs = itertools.pairwise(channels)
    layers = [
        nn.Conv1d(a, b, 3, padding=1, padding_mode="circular", bias=False)
        for a, b in pairs
    ]
    net = interleaved(layers)
    optimum = lip_sdp([circulant(layer.weight.detach()) for layer in layers])
    found = least(net, (channels[0], SIZE), "ellipsoid", "ellipsoid")
    assert optimum * (1 - SOLVED) <= found <= optimum * 1.001
