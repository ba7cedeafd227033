"""Gathered cells against the dense matrix, entry by entry."""

from __future__ import annotations

import resource
import sys
from typing import Literal

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.operators.composed.cells import map_cells
from convspec.operators.heatmap import Division, matrix_cells
from tests.gaussian import gaussian
from tests.oracles import Array
from tests.small_operators import OPERATORS


def cell_of(place: int, channels: int, length: int, most: int) -> int:
    """The cell of a row or column: a part of its channel, or several channels."""
    channel, position = divmod(place, length)
    if channels > most:
        return channel // -(-channels // most)
    parts = min(length, most // channels)
    return channel * parts + position * parts // length


def gathered(op: cs.ConvOperator, most: int, reduction: str) -> Array:
    """By four loops over the dense matrix."""
    matrix = op.to_dense().double().numpy()
    sides = []
    for shape in (op.output_shape, op.input_shape):
        length = int(np.prod(shape[1:]))
        total = int(np.prod(shape))
        sides.append([cell_of(place, shape[0], length, most) for place in range(total)])
    rows, columns = (max(side) + 1 for side in sides)
    cells = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            within = matrix[np.equal(sides[0], i)][:, np.equal(sides[1], j)].reshape(-1)
            top = within[np.abs(within).argmax()]
            if abs(within.max()) == abs(within.min()):
                top = within.max()
            rms = np.sqrt((within**2).mean())
            cells[i, j] = {"signed": top, "max": abs(top), "rms": rms}[reduction]
    return cells


@pytest.mark.parametrize("most", [1, 2, 5, 8, 400])
@pytest.mark.parametrize("name", OPERATORS)
def test_cells_are_those_of_the_dense_matrix(name: str, most: int) -> None:
    op = OPERATORS[name]
    found = matrix_cells(op, most)
    # sums of taps that fall on one pixel are added in float64, not in the weight's dtype
    tolerance = 4 * torch.finfo(op.dtype).eps * float(op.to_dense().abs().max())
    assert np.allclose(found.values, gathered(op, most, "signed"), rtol=0, atol=tolerance)
    assert max(found.values.shape) <= most
    assert found.shape == op.shape


@pytest.mark.parametrize("reduction", ["max", "rms"])
@pytest.mark.parametrize("name", OPERATORS)
def test_unsigned_cells(name: str, reduction: str) -> None:
    op = OPERATORS[name]
    found = matrix_cells(op, 5, reduction=reduction)  # type: ignore[arg-type]
    expected = gathered(op, 5, reduction)
    tolerance = 8 * torch.finfo(op.dtype).eps * float(op.to_dense().abs().max())
    assert np.allclose(found.values, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_entry_has_its_cell_where_there_is_room(name: str) -> None:
    op = OPERATORS[name]
    found = matrix_cells(op)
    assert np.allclose(
        found.values, op.to_dense().double().numpy(), rtol=1e-15, atol=1e-15
    )
    assert found.extent == op.shape


def test_a_single_large_entry_among_many_is_not_lost() -> None:
    weight = torch.full((1, 1, 3), 1e-3)
    weight[0, 0, 1] = -7
    cells = matrix_cells(cs.ConvOperator(weight, 1000, padding=1), 10)
    assert np.array_equal(np.diag(cells.values), [-7.0] * 10)


def test_squares_add_up_to_the_frobenius_norm() -> None:
    op = cs.ConvOperator(gaussian(18, 8, 4, 3, 3), (10, 10), padding=1, stride=2)
    cells = matrix_cells(op, 16, reduction="rms")  # 2 and 4 cells per channel
    rows = Division.of(8, 25, 16)
    columns = Division.of(4, 100, 16)
    positions = np.multiply.outer(rows.counts, columns.counts)
    assert positions.sum() == op.shape[0] * op.shape[1]
    total = np.sqrt((cells.values**2 * positions).sum())
    assert total == pytest.approx(op.frobenius_norm(), rel=1e-13)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7])
def test_divisions_cover_every_position_once(channels: int) -> None:
    for length in (1, 2, 9):
        for most in (1, 2, 3, 4, 10, 100):
            division = Division.of(channels, length, most)
            assert division.cells <= most
            assert division.counts.sum() == channels * length
            assert division.counts.min() > 0
            assert division.extent >= channels * length


def test_extent_reaches_over_cells_of_too_few_channels() -> None:
    op = cs.ConvOperator(gaussian(8, 5, 1, 2), 4)  # 5 channels of 3, two to a cell
    found = matrix_cells(op, 3)
    assert found.values.shape == (3, 3)
    assert found.extent == (18, 4)
    assert found.shape == (15, 4)


def test_a_matrix_of_two_hundred_thousand_rows() -> None:
    """64 channels of 56 x 56: 1.1e8 entries, which would take 1.3 GB in CSR format."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    op = cs.ConvOperator(gaussian(134, 64, 64, 3, 3), (56, 56), padding=1)
    found = matrix_cells(op, 64)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert found.values.shape == (64, 64)
    # a cell is a pair of channels, so it shows the tap of largest magnitude
    taps = op.weight.flatten(2)
    largest = taps.abs().argmax(dim=2, keepdim=True)
    assert np.array_equal(found.values, taps.gather(2, largest)[..., 0].numpy())
    if sys.platform == "linux":
        assert (after - before) * 1024 < 2**29


def test_zero_weights() -> None:
    assert not matrix_cells(cs.ConvOperator(torch.zeros(2, 1, 3), 5)).values.any()


@pytest.mark.parametrize("reduction", ["max", "rms"])
@pytest.mark.parametrize("transposed", [False, True])
def test_complex_entries_are_gathered_by_magnitude(
    reduction: Literal["max", "rms"], transposed: bool
) -> None:
    """Padding by reflection adds taps, so that magnitudes of sums are meant."""
    weight = torch.complex(gaussian(24, 3, 2, 2, 2), gaussian(25, 3, 2, 2, 2))
    mode = "zeros" if transposed else "reflect"
    op = cs.ConvOperator(
        weight, (5, 4), padding=1, padding_mode=mode, transposed=transposed
    )
    entries = np.abs(op.to_dense().numpy())
    found = matrix_cells(op, reduction=reduction).values
    assert np.allclose(found, entries, rtol=1e-6, atol=1e-6)
    total = matrix_cells(op, 1, reduction=reduction).values
    expected = entries.max() if reduction == "max" else np.sqrt((entries**2).mean())
    assert total[0, 0] == pytest.approx(expected, rel=1e-6)
    composed = map_cells(op.H @ op, reduction=reduction).values
    assert np.allclose(composed, np.abs((op.H @ op).to_dense().numpy()), atol=1e-4)


def test_complex_entries_have_no_sign() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 2, dtype=torch.complex64), 4)
    with pytest.raises(ValueError, match=r"have no sign; got reduction='signed'; take"):
        matrix_cells(op)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 1 cell; got 0"):
        matrix_cells(OPERATORS["1d"], 0)
    with pytest.raises(ValueError, match="one of signed, max, rms; got 'mean'"):
        matrix_cells(OPERATORS["1d"], reduction="mean")  # type: ignore[arg-type]


def test_operators_over_the_byte_limit_are_refused() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3, 3), (20_000, 20_000))
    with pytest.raises(cs.TooLargeError, match="give the operator of a smaller input"):
        matrix_cells(op)
