"""Frame bounds on all lengths: they enclose those of each, and are approached."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convspec as cs
from tests.frames.test_frame_bounds import DB2, dense_bounds, stft, wavelet
from tests.gaussian import gaussian
from tests.oracles import Array, loop_matrix

CASES = [  # channels, taps, stride, dilation
    (2, 3, 1, 1),
    (3, 4, 2, 1),
    (4, 3, 2, 3),
    (5, 5, 3, 1),
    (4, 3, 2, 2),
    (6, 2, 3, 1),
    (2, 4, 3, 1),
]


@pytest.mark.parametrize(("channels", "taps", "stride", "dilation"), CASES)
def test_they_enclose_every_size(
    channels: int, taps: int, stride: int, dilation: int
) -> None:
    weight = gaussian(channels + taps, channels, 1, taps)
    found = cs.worst_case_frame_bounds(weight, stride=stride, dilation=dilation)
    assert found.redundancy == channels / stride
    extent = dilation * (taps - 1)
    largest = 0.0
    for size in range(stride * -(-(extent + 1) // stride), 60, stride):
        matrix = loop_matrix(
            weight.numpy(),
            [size],
            [stride],
            [(0, max(0, extent + 1 - stride))],
            [dilation],
            padding_mode="circular",
        )
        assert matrix.shape[0] * stride == size * channels
        lower, upper = dense_bounds(matrix)
        slack = 1e-12 * upper
        assert lower >= found.lower.lower - slack
        assert upper <= found.upper.upper + slack
        largest = max(largest, upper)
    assert largest >= 0.97 * found.upper.lower


@pytest.mark.parametrize(("channels", "taps", "stride", "dilation"), CASES)
@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_zero_padding_that_cuts_nothing_off(
    channels: int, taps: int, stride: int, dilation: int, size: int
) -> None:
    weight = gaussian(channels + taps, channels, 1, taps)
    found = cs.worst_case_frame_bounds(weight, stride=stride, dilation=dilation)
    pad = dilation * (taps - 1)
    arguments = [size], [stride], [(pad, pad)], [dilation]
    lower, upper = dense_bounds(loop_matrix(weight.numpy(), *arguments))
    assert lower >= found.lower.lower * (1 - 1e-12)
    assert upper <= found.upper.upper * (1 + 1e-12)


def test_less_padding_cuts_off() -> None:
    """The symbol is at least 1, the triangular matrix nearly singular."""
    weight = torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)
    found = cs.worst_case_frame_bounds(weight)
    assert 1.0 in found.lower
    cut = cs.frame_bounds(cs.ConvOperator(weight, 20, padding=((0, 1),)))
    assert cut.lower.upper < 1e-9
    assert "are padded on every side" in found.assumptions


@pytest.mark.parametrize(
    ("shape", "stride", "dilation"),
    [((4, 1, 1), 2, 1), ((8, 1, 3), 2, 2), ((9, 2, 2), 3, 1)],
)
def test_pixels_that_no_tap_reads(
    shape: tuple[int, ...], stride: int, dilation: int
) -> None:
    found = cs.worst_case_frame_bounds(
        gaussian(3, *shape), stride=stride, dilation=dilation
    )
    assert found.lower == (0.0, 0.0)
    assert found.upper.lower > 0


def test_two_axes() -> None:
    weight = gaussian(5, 6, 1, 2, 2)
    found = cs.worst_case_frame_bounds(weight, stride=2)
    for size in (2, 6, 10):
        matrix = loop_matrix(weight.numpy(), [size] * 2, [2, 2], [(0, 0)] * 2, [1, 1])
        lower, upper = dense_bounds(matrix)
        # no pixel is shared: the same at all sizes
        assert lower in cs.Enclosure(*_widened(found.lower))
        assert upper in cs.Enclosure(*_widened(found.upper))


def _widened(ends: cs.Enclosure) -> tuple[float, float]:
    return ends.lower * (1 - 1e-12), ends.upper * (1 + 1e-12)


def test_tight_banks() -> None:
    found = cs.worst_case_frame_bounds(wavelet(DB2), stride=2)
    assert found.parseval
    assert found.tight
    window = np.sin(np.pi * (np.arange(8) + 0.5) / 8)
    found = cs.worst_case_frame_bounds(stft(window, 8), stride=2)
    assert found.tight
    assert found.upper.upper >= 16 * (1 - 1e-9)


def test_the_padding_of_a_layer_makes_no_difference() -> None:
    layer = torch.nn.Conv1d(1, 3, 3, padding=2, padding_mode="reflect")
    found = cs.worst_case_frame_bounds(layer)
    plain = cs.worst_case_frame_bounds(layer.weight)
    assert (found.lower, found.upper) == (plain.lower, plain.upper)
    wide = torch.nn.Conv1d(3, 1, 3, padding=2, padding_mode="reflect")
    found, plain = (cs.worst_case_frame_bounds(one) for one in (wide, wide.weight))
    assert (found.lower, found.upper) == (plain.lower, plain.upper)
    assert found.lower == (0.0, 0.0)


def test_transposed() -> None:
    """Of a synthesis operator: those of a Riesz basis."""
    weight = gaussian(7, 1, 1, 3)
    found = cs.worst_case_frame_bounds(weight, stride=2, transposed=True)
    assert found.redundancy == 2
    for size in (3, 9, 30):
        op = cs.ConvOperator(weight, size, stride=2, transposed=True)
        lower, upper = dense_bounds(op.to_dense().numpy())
        assert lower >= found.lower.lower * (1 - 1e-12)
        assert upper <= found.upper.upper * (1 + 1e-12)
    assert found.lower.lower > 0


def test_unwritten_pixels_of_transposed() -> None:
    weight = gaussian(8, 2, 1, 1)
    found = cs.worst_case_frame_bounds(weight, stride=2, transposed=True)
    assert found.lower == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(8))
def test_groups_axes_and_complex_numbers(seed: int) -> None:
    """Against aliased responses at drawn frequencies, sums of exponentials by hand."""
    rng = np.random.default_rng(seed)
    groups, out, into = rng.integers(1, 3, 3)
    stride, dilation = (tuple(map(int, rng.choice([1, 2, 3], 2))) for _ in range(2))
    shape = int(groups * out * 4), int(into), *map(int, rng.integers(1, 4, 2))
    dtype = torch.complex128 if seed % 2 else torch.float64
    weight = gaussian(seed, *shape, dtype=dtype)
    found = cs.worst_case_frame_bounds(
        weight, stride=stride, dilation=dilation, groups=int(groups), rtol=1e-4
    )
    blocks = weight.numpy().reshape(groups, -1, *shape[1:])
    for _ in range(20):
        frequency = rng.uniform(-np.pi, np.pi, 2)
        values = aliased(blocks, frequency, stride, dilation)
        assert values.min() >= found.lower.lower * (1 - 1e-10) - 1e-10
        assert values.max() <= found.upper.upper * (1 + 1e-10)


def aliased(
    blocks: Array, frequency: Array, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Array:
    """Eigenvalues of the frame operator on waves that the stride takes to one."""
    rows, columns = [np.arange(k) for k in blocks.shape[3:]]
    found = []
    for block in blocks:
        parts = []
        for alias in np.ndindex(*stride):
            w, v = (frequency + 2 * np.pi * np.array(alias)) / np.array(stride)
            waves = np.multiply.outer(
                np.exp(1j * w * dilation[0] * rows),
                np.exp(1j * v * dilation[1] * columns),
            )
            parts.append((block * waves).sum(axis=(2, 3)))
        matrix = np.hstack(parts) / np.sqrt(np.prod(stride))
        found += list(np.linalg.eigvalsh(matrix.conj().T @ matrix))
    return np.array(found)
