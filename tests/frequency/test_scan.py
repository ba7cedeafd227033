"""Peaks of the symbol, against its singular values on a fine grid."""

from __future__ import annotations

import math

import pytest
import torch

import convspec as cs
from convspec.frequency.scan import leading_vectors, symbol_peaks
from convspec.operators.symbol import Symbol
from tests.gaussian import gaussian

FINE = {1: 512, 2: 64, 3: 16}

SYMBOLS = {
    "line": cs.ConvOperator(gaussian(3, 4, 5, 3), 20),
    "line-9": cs.ConvOperator(gaussian(4, 3, 2, 9), 20),
    "plane": cs.ConvOperator(gaussian(1, 8, 6, 3, 3), 20),
    "plane-strided": cs.ConvOperator(gaussian(2, 6, 2, 7, 7), 20, stride=2),
    "plane-dilated": cs.ConvOperator(gaussian(5, 4, 4, 3, 3), 20, dilation=2),
    "one-tap-axis": cs.ConvOperator(gaussian(6, 3, 3, 3, 1), 20),
    "one-tap": cs.ConvOperator(gaussian(6, 3, 3, 1, 1), 20),
    "space": cs.ConvOperator(gaussian(7, 3, 4, 3, 2, 3), 9),
    "complex": cs.ConvOperator(gaussian(8, 3, 4, 3, 3, dtype=torch.complex128), 9),
    "one-channel": cs.ConvOperator(gaussian(9, 1, 1, 5, 5), 9),
}


def fine_values(symbol: Symbol) -> torch.Tensor:
    blocks = symbol.grid(FINE[symbol.dim])[..., 0, :, :]
    return torch.linalg.svdvals(blocks)[..., 0]


@pytest.mark.parametrize("name", SYMBOLS)
def test_the_first_peak_is_the_largest_value(name: str) -> None:
    symbol = SYMBOLS[name].symbol()
    found = symbol_peaks(symbol)
    there = torch.linalg.svdvals(symbol.at(found.frequencies)[:, 0])[:, 0]
    largest = float(fine_values(symbol).max())
    assert float(there[0]) > (1 - 1e-3) * largest
    # power iteration never exceeds a singular value
    assert bool((found.values <= there * (1 + 1e-5)).all())
    assert float(found.values[0]) > (1 - 2e-3) * float(there[0])
    assert bool((found.values >= 0.97 * found.values[0]).all())
    assert bool((found.values.diff() <= 0).all())


def test_two_peaks_are_found_and_mirrors_are_not() -> None:
    # channels that pass cos(2 w) and sin(2 w): |F| is largest at 0, pi, +-pi / 2
    weight = torch.zeros(2, 2, 5, dtype=torch.float64)
    weight[0, 0, ::4] = 0.5
    weight[1, 1, 0], weight[1, 1, 4] = 0.495, -0.495
    found = symbol_peaks(cs.ConvOperator(weight, 9).symbol())
    turns = torch.remainder(found.frequencies[:, 0], 2 * math.pi) / math.pi
    near = [round(min(turn, 2 - turn), 2) for turn in turns.tolist()]
    assert set(near[:3]) == {0.0, 0.5, 1.0}
    assert near[3] in (0.25, 0.75)
    assert float(found.values[0]) == pytest.approx(1, rel=1e-5)


def test_most_limits_the_peaks() -> None:
    weight = torch.zeros(1, 1, 5, dtype=torch.float64)
    weight[0, 0, ::4] = 0.5
    symbol = cs.ConvOperator(weight, 9).symbol()
    assert len(symbol_peaks(symbol, 1).values) == 1
    assert len(symbol_peaks(symbol, 2).values) == 2


def test_zero_kernels_have_peaks_of_zero() -> None:
    op = cs.ConvOperator(torch.zeros(2, 2, 3, 3), 9)
    found = symbol_peaks(op.symbol())
    assert len(found.values)
    assert not found.values.any()


@pytest.mark.parametrize("max_bytes", [1, 2**31], ids=["tight", "wide"])
def test_leading_vectors(max_bytes: int) -> None:
    symbol = SYMBOLS["plane"].symbol()
    points = torch.linspace(-3, 3, 8, dtype=torch.float64).reshape(4, 2)
    values, vectors = leading_vectors(symbol, points, 2, steps=60, max_bytes=max_bytes)
    blocks = symbol.at(points)[:, 0]
    torch.testing.assert_close(values, torch.linalg.svdvals(blocks)[:, :2])
    images = torch.linalg.vector_norm(blocks @ vectors, dim=1)
    torch.testing.assert_close(images, values)
    eye = torch.eye(2, dtype=torch.complex128).expand(4, 2, 2)
    torch.testing.assert_close(vectors.mH @ vectors, eye)
