"""Frame bounds against polyphase matrices by DFT, dense SVDs and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from tests.cases import Case
from tests.gaussian import gaussian
from tests.geometries import any_case
from tests.oracles import Array

EPS = np.finfo(np.float64).eps
ROOT = 3**0.5
DB2 = np.array([1 + ROOT, 3 + ROOT, 3 - ROOT, 1 - ROOT]) / 32**0.5
WAVELETS = {"haar": np.array([1.0, 1.0]) / 2**0.5, "db2": DB2}


def wavelet(low: Array) -> torch.Tensor:
    """Low pass and high pass of an orthonormal wavelet; (2, 1, k)."""
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    return torch.from_numpy(np.stack([low, high])[:, None])


def on_circle(weight: torch.Tensor, size: int, hop: int) -> cs.ConvOperator:
    return cs.ConvOperator(weight, size, stride=hop).circular()


def dense_bounds(matrix: Array) -> tuple[float, float]:
    """Extreme eigenvalues of the frame operator."""
    values = np.linalg.svd(matrix, compute_uv=False)
    lower = values[-1] ** 2 if matrix.shape[0] >= matrix.shape[1] else 0.0
    return float(lower), float(values[0] ** 2)


def near(value: float, found: cs.Enclosure, slack: float) -> bool:
    """Whether a number known up to ``slack`` may be in it."""
    return found.lower - slack <= value <= found.upper + slack


@given(any_case())
def test_every_geometry(case: Case) -> None:
    found = cs.frame_bounds(case.operator())
    matrix = case.matrix()
    lower, upper = dense_bounds(matrix)
    slack = 64 * max(matrix.shape) * EPS * upper
    assert near(lower, found.lower, slack)
    assert near(upper, found.upper, slack)
    assert found.upper.width <= 1e-9 * upper + 1e-300
    assert found.redundancy == matrix.shape[0] / matrix.shape[1]
    if matrix.shape[0] < matrix.shape[1]:
        assert found.lower == (0.0, 0.0)
        assert found.frame is False
        assert found.ratio.lower == math.inf or upper == 0


@settings(max_examples=15)
@given(any_case())
def test_large_operators_are_enclosed(case: Case) -> None:
    """The same where the singular values are not computed."""
    op, matrix = case.operator(), case.matrix()
    found = cs.frame_bounds(op, max_flops=1e-9)
    lower, upper = dense_bounds(matrix)
    slack = 64 * max(matrix.shape) * EPS * upper
    assert near(lower, found.lower, slack)
    assert near(upper, found.upper, slack)


@pytest.mark.parametrize("low", WAVELETS.values(), ids=WAVELETS)
@pytest.mark.parametrize("size", [4, 6, 16, 30])
def test_orthonormal_wavelets(low: Array, size: int) -> None:
    found = cs.frame_bounds(on_circle(wavelet(low), size, 2))
    assert 1.0 in found.lower
    assert 1.0 in found.upper
    assert found.parseval
    assert found.tight
    assert found.redundancy == 1


def stft(window: Array, frequencies: int) -> torch.Tensor:
    """Windowed waves; (frequencies, 1, k), complex."""
    n = np.arange(len(window))
    waves = np.exp(-2j * np.pi * np.outer(np.arange(frequencies), n) / frequencies)
    return torch.from_numpy((window * waves)[:, None])


@pytest.mark.parametrize("hop", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_stft(seed: int, hop: int) -> None:
    """With as many frequencies as samples the frame operator is diagonal.

    ``A^H A = frequencies * diag(sum of squares of the window, moved by hops)``.
    """
    window = gaussian(seed, 8).numpy()
    found = cs.frame_bounds(on_circle(stft(window, 8), 16, hop))
    sums = 8 * (window**2).reshape(-1, hop).sum(axis=0)
    assert near(sums.min(), found.lower, 1e-12 * sums.max())
    assert near(sums.max(), found.upper, 1e-12 * sums.max())
    assert found.tight == (hop == 1)
    assert found.redundancy == 8 / hop


@pytest.mark.parametrize(("window", "hop"), [("sine", 4), ("hann", 2), ("sine", 2)])
def test_tight_stft(window: str, hop: int) -> None:
    """Squared windows that overlap and add to a constant."""
    n = (np.arange(8) + 0.5) / 8
    shape = {"sine": np.sin(np.pi * n), "hann": np.sin(np.pi * n) ** 2}[window]
    found = cs.frame_bounds(on_circle(stft(shape, 8), 24, hop))
    assert found.tight
    assert not found.parseval
    bound = 8 * (shape**2).sum() / hop
    assert near(bound, found.lower, 1e-13 * bound)
    assert near(bound, found.upper, 1e-13 * bound)


def polyphase(weight: Array, size: int, hop: int) -> tuple[float, float]:
    """Extremes over the circle of the aliased frequency response of each channel.

    With ``N / hop`` aliases per coefficient, by DFTs of the filters, no matrix.
    """
    c_out, _, k = weight.shape
    response = np.stack(
        [
            [
                weight[c, 0] @ np.exp(2j * np.pi * f * np.arange(k) / size)
                for f in range(size)
            ]
            for c in range(c_out)
        ]
    )
    places = size // hop
    values = []
    for f in range(places):
        aliases = response[:, f::places]  # (channels, hop)
        values += list(np.linalg.svd(aliases, compute_uv=False) ** 2 / hop)
        if c_out < hop:
            values.append(0.0)
    return min(values), max(values)


@pytest.mark.parametrize("hop", [1, 2, 3])
@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize("complex_", [False, True])
def test_polyphase(channels: int, hop: int, complex_: bool) -> None:
    dtype = torch.complex128 if complex_ else torch.float64
    weight = gaussian(10 * channels + hop, channels, 1, 4, dtype=dtype)
    found = cs.frame_bounds(on_circle(weight, 12, hop))
    lower, upper = polyphase(weight.numpy(), 12, hop)
    assert near(lower, found.lower, 1e-13 * upper)
    assert near(upper, found.upper, 1e-13 * upper)


def test_rank_below_the_samples_is_no_frame() -> None:
    """Many atoms that all miss the alternating signal."""
    weight = torch.tensor([[[1.0, 1.0]], [[2.0, 2.0]], [[1.0, 1.0]]])
    found = cs.frame_bounds(on_circle(weight.double(), 8, 1))
    assert 0.0 in found.lower
    assert found.ratio.upper == math.inf
    assert not found.tight
    assert found.frame in (None, False)


def test_unread_samples() -> None:
    """A stride beyond the kernel: zeros by the shape, exactly."""
    found = cs.frame_bounds(cs.ConvOperator(torch.ones(4, 1, 1), 8, stride=2))
    assert found.lower == (0.0, 0.0)
    assert found.frame is False


def test_a_large_bank() -> None:
    """Without all values; of full zero padding the symbol bounds below, closed form."""
    weight = torch.tensor([[[2.0, 1.0]], [[1.0, 0.0]]], dtype=torch.float64)
    op = cs.ConvOperator(weight, 20_000, padding=1)
    found = cs.frame_bounds(op)
    # 5 + 4 cos w + 1: from 2 to 10
    assert 2.0 <= found.lower.upper <= 2.001
    assert found.lower.lower > 1.9
    assert 9.999 <= found.upper.lower <= found.upper.upper <= 10.0001
    assert found.frame


def test_composed_banks() -> None:
    weight = wavelet(DB2)
    low, high = (on_circle(some[None], 16, 2) for some in weight)
    assert cs.frame_bounds(cs.stack([low, high])).parseval
    twice = cs.frame_bounds(cs.stack([low, high, low, high]))
    assert 2.0 in twice.lower
    assert twice.tight
    large = cs.frame_bounds(cs.stack([low, high]), max_flops=1e-9)
    assert near(1.0, large.upper, 1e-9)
    assert large.lower.lower == 0.0


def test_single_precision_is_tight_to_its_digits() -> None:
    single = wavelet(DB2).float()
    assert cs.frame_bounds(on_circle(single, 16, 2)).parseval
    assert not cs.frame_bounds(on_circle(single.double(), 16, 2)).parseval


def test_zero() -> None:
    found = cs.frame_bounds(cs.ConvOperator(torch.zeros(2, 1, 3), 8, padding=1))
    assert found.upper == (0.0, 0.0)
    assert found.frame is False
    assert not found.tight


def test_words() -> None:
    op = on_circle(wavelet(DB2), 16, 2)
    found = cs.frame_bounds(op)
    assert repr(found) == "<FrameBounds: 1 ... 1, Parseval, redundancy 1>"
    assert found.assumptions == "inputs 1x16; all singular values, fourier"
    wide: dict[str, Any] = {"max_flops": -1.0}
    with pytest.raises(ValueError, match=r"max_flops must be positive; got -1\.0"):
        cs.frame_bounds(op, **wide)


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
def test_a_long_window_is_tight(dtype: torch.dtype) -> None:
    """Whatever the error of the values of large blocks is, equal bounds are equal."""
    window = np.sin(np.pi * (np.arange(256) + 0.5) / 256)
    found = cs.frame_bounds(on_circle(stft(window, 256).to(dtype), 2048, 64))
    assert found.tight
    assert found.rtol < 1e-4
    assert near(512.0, found.lower, 512e-5 if dtype == torch.complex64 else 0.0)
