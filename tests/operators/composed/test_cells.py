"""Cells of composed maps beside those of a convolution, and of the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.operators.composed.cells import map_cells
from convspec.operators.heatmap import Gathering, matrix_cells
from tests.gaussian import gaussian


@pytest.mark.parametrize("most", [1, 3, 7, 1000])
@pytest.mark.parametrize("reduction", ["signed", "max", "rms"])
def test_are_those_of_the_convolution(reduction: Gathering, most: int) -> None:
    op = cs.ConvOperator(gaussian(1, 3, 2, 3, 2), (5, 4), stride=(1, 2))
    wanted = matrix_cells(op, most, reduction=reduction)
    found = map_cells(1 * op, most, reduction=reduction)
    assert found.extent == wanted.extent
    assert found.shape == wanted.shape
    assert np.allclose(found.values, wanted.values, rtol=1e-14, atol=0)


def test_of_a_product() -> None:
    op = cs.ConvOperator(gaussian(1, 2, 2, 3), 5, padding=1)
    found = map_cells(op @ op, 1000).values
    assert np.allclose(found, (op @ op).to_dense().numpy(), rtol=1e-13, atol=1e-13)


def test_refuses() -> None:
    op = cs.ConvOperator(gaussian(1, 2, 2, 3), 5, padding=1)
    with pytest.raises(ValueError, match="complex entries have no sign"):
        map_cells(1j * op)
    with pytest.raises(ValueError, match="at least 1 cell; got 0"):
        map_cells(op @ op, 0)
    with pytest.raises(ValueError, match="reduction must be one of"):
        map_cells(op @ op, reduction="mean")
    with pytest.raises(cs.TooLargeError, match="max_bytes"):
        map_cells(op @ op, max_bytes=100)


def test_one_axis_images() -> None:
    found = map_cells(cs.identity((4,), dtype=torch.float32), 2).values
    assert found.tolist() == [[1, 0], [0, 1]]
