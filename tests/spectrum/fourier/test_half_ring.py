"""Padding that mirrors as the kernel does: exact frequencies without a torus."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import event, given, settings
from scipy.fft import dctn

import convspec as cs
from convspec.operators.half_ring import half_ring
from convspec.operators.reads import Reads
from tests import oracles
from tests.gaussian import gaussian
from tests.mirrored import mirrored

GRADIENT = torch.tensor(
    [[[[-1.0, 0.0], [1.0, 0.0]]], [[[-1.0, 1.0], [0.0, 0.0]]]], dtype=torch.float64
)


def disk(radius: int) -> torch.Tensor:
    """An out-of-focus blur: symmetric, and no product."""
    line = torch.arange(-radius, radius + 1, dtype=torch.float64)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).double()
    return inside[None, None] / inside.sum()


@settings(max_examples=400, deadline=None)
@given(mirrored())
def test_values_are_those_of_the_matrix(op: cs.ConvOperator) -> None:
    spec = cs.spectrum(op)
    event(cs.explain(op).reason[:40])
    expected = oracles.singular_values(op.to_dense().numpy())
    oracle = 1e-15 * max(op.shape) * expected[0]
    assert np.abs(spec.values - expected).max() <= spec.error + oracle
    assert spec.error <= 1e-10 * max(1.0, float(expected[0]))


@pytest.mark.parametrize("n", [2, 5, 64, 512])
def test_the_gradient_of_an_image(n: int) -> None:
    """Neumann: ``sigma^2 = 4 sin^2(pi j / 2n) + 4 sin^2(pi k / 2n)``, j, k below n."""
    op = cs.ConvOperator(GRADIENT, n, padding=((0, 1), (0, 1)), padding_mode="replicate")
    assert cs.explain(op).method == "fourier"
    spec = cs.spectrum(op)
    with mpmath.workdps(30):
        norm = float(2 * mpmath.sqrt(2) * mpmath.cos(mpmath.pi / (2 * n)))
    assert abs(spec.norm - norm) <= spec.error
    waves = 4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2
    expected = np.sort(np.sqrt(np.add.outer(waves, waves)).reshape(-1))[::-1]
    assert np.abs(spec.values - expected).max() <= spec.error
    assert spec.nullity() == 1  # constants


def test_a_blur_of_an_image_too_large_for_its_matrix() -> None:
    """Symmetric padding, 65,536 values: those of the cosine transform of SciPy."""
    blur, n = disk(7), 256
    op = cs.ConvOperator(blur, n, padding=7, padding_mode="symmetric")
    spec = cs.spectrum(op)
    assert spec.method == "fourier"
    # the blur of the first pixel, transformed, over the transform of the first pixel
    first = torch.zeros(1, n, n, dtype=torch.float64)
    first[0, 0, 0] = 1
    ratio = dctn(op.apply(first)[0].numpy()) / dctn(first[0].numpy())
    expected = np.sort(np.abs(ratio).reshape(-1))[::-1]
    assert np.abs(spec.values - expected).max() <= spec.error + 1e-12
    assert spec.error < 1e-12


def test_laplacians_with_one_zero_around() -> None:
    """Nine points, no product: ``|-8 + 2 a + 2 b + 4 a b|`` of cosines a, b."""
    kernel = torch.ones(3, 3, dtype=torch.float64)
    kernel[1, 1] = -8
    op = cs.ConvOperator(kernel[None, None], (300, 200), padding=1)
    a, b = (2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) for n in (300, 200))
    values = np.abs(np.add.outer(a, b) + np.multiply.outer(a, b) - 8).reshape(-1)
    spec = cs.spectrum(op)
    assert spec.method == "fourier"
    assert np.abs(spec.values - np.sort(values)[::-1]).max() <= spec.error


@pytest.mark.parametrize("mode", ["symmetric", "zeros"])
def test_kernels_even_up_to_rounding(mode: str) -> None:
    """What is not even is in the error, and no more than roundings are passed over."""
    kernel = disk(1) * 0.7 + gaussian(0, 1, 1, 3, 3)[0, 0, 1, 1]
    near = kernel + 1e-16 * gaussian(1, 1, 1, 3, 3)
    far = kernel + 1e-12 * gaussian(1, 1, 1, 3, 3)
    options: dict[str, Any] = {"padding": 1, "padding_mode": mode}
    exact, op = (cs.ConvOperator(w, 8, **options) for w in (kernel, near))
    assert cs.explain(op).method == "fourier"
    assert cs.spectrum(op).error > cs.spectrum(exact).error
    expected = oracles.singular_values(op.to_dense().numpy())
    assert np.abs(cs.spectrum(op).values - expected).max() <= cs.spectrum(op).error
    assert cs.explain(cs.ConvOperator(far, 8, **options)).method == "dense"


def test_other_axes_are_left_as_they_are() -> None:
    """A wall on two sides, reflections on the others."""
    weight = disk(1) + gaussian(3, 4, 3, 1, 3)
    op = cs.ConvOperator(weight, (24, 6), padding=1, padding_mode=("zeros", "reflect"))
    plan = cs.explain(op)
    assert plan.method == "dense"
    assert "24 blocks" in plan.reason
    spec = cs.spectrum(op)
    expected = oracles.singular_values(op.to_dense().numpy())
    assert np.abs(spec.values - expected).max() <= spec.error


NONE = {
    "two zeros": ({"padding": 2}, 5),
    "whole-sample": ({"padding": 1, "padding_mode": "reflect"}, 3),
    "replicate two": ({"padding": 2, "padding_mode": "replicate"}, 5),
    "stride": ({"padding": 1, "stride": 2}, 3),
    "full": ({"padding": 2}, 3),
    "valid": ({"padding": 0}, 3),
}


@pytest.mark.parametrize("name", NONE)
def test_no_half_of_a_ring(name: str) -> None:
    options, taps = NONE[name]
    weight = torch.ones(1, 1, taps, dtype=torch.float64)
    (axis,) = cs.ConvOperator(weight, 9, **options).geometry.axes
    read = Reads.of(axis)
    assert half_ring(read, weight[:, :, torch.from_numpy(read.taps)], 2) is None


def test_waves_are_orthonormal_and_undo_one_another() -> None:
    weight = torch.tensor([[[1.0, -1.0]], [[1.0, 0.0]], [[0.0, 0.0]]]).double()
    op = cs.ConvOperator(weight, 6, padding=((0, 1),), padding_mode="symmetric")
    read = Reads.of(op.geometry.axes[0])
    half = half_ring(read, weight, 2)
    assert half is not None
    for waves in (half.pixels, *half.kinds):
        units = torch.eye(waves.count, dtype=torch.float64)
        signals = waves.placed(units, 1)  # (waves, places)
        gram = signals @ signals.mT
        zero = torch.diagonal(gram) == 0
        assert (gram - torch.diag(1.0 - zero.double())).abs().max() < 1e-14
        assert (waves.taken(signals, 1) - gram).abs().max() < 1e-14
    # a difference takes cosines to sines; the other channels are even about one tap
    assert [half.kinds[k].odd for k in half.which] == [True, False, False]
