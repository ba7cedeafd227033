"""Dual filters: perfect reconstruction by a loop, and dense solves."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from tests.frames.test_frame_bounds import DB2, on_circle, stft, wavelet
from tests.gaussian import gaussian


def circle(weight: torch.Tensor, size: Any, **arguments: Any) -> cs.ConvOperator:
    return cs.ConvOperator(weight, size, **arguments).circular()


CASES = {
    "1d": circle(gaussian(1, 2, 1, 3), 8),
    "strided": circle(gaussian(2, 5, 1, 4), 12, stride=3),
    "complex": circle(gaussian(3, 5, 1, 4, dtype=torch.complex128), 12, stride=2),
    "2d": circle(gaussian(4, 9, 2, 3, 2), (6, 4), stride=2),
    "groups": circle(gaussian(5, 6, 1, 3), 8, groups=2),
    "dilated": circle(gaussian(6, 3, 1, 3), 9, dilation=2),
    "patches": cs.ConvOperator(gaussian(7, 8, 1, 2, 2), (4, 6), stride=2),
    "padded": cs.ConvOperator(
        gaussian(8, 3, 1, 5), 8, padding=2, padding_mode="circular"
    ),
    "single": circle(gaussian(9, 3, 1, 3, dtype=torch.float32), 8),
}


@pytest.mark.parametrize("op", CASES.values(), ids=CASES)
def test_perfect_reconstruction(op: cs.ConvOperator) -> None:
    duals = cs.dual_frame(op)
    assert duals.shape == (op.output_shape[0], *op.input_shape)
    strides = [axis.stride for axis in op.geometry.axes]
    work = op.to(duals.dtype)
    x = gaussian(11, *op.input_shape, dtype=duals.dtype)
    coefficients = work.apply(x)
    again = torch.zeros_like(x)
    dims = tuple(range(1, x.ndim))
    for index in product(*map(range, op.output_shape)):
        shifts = tuple(p * s for p, s in zip(index[1:], strides, strict=True))
        again += coefficients[index] * duals[index[0]].roll(shifts, dims)
    assert torch.allclose(again, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("op", CASES.values(), ids=CASES)
def test_they_solve_the_frame_operator(op: cs.ConvOperator) -> None:
    """``(A^H A)^-1 g`` for the atoms g at the first place, the conjugate rows of A."""
    duals = cs.dual_frame(op)
    matrix = op.to(duals.dtype).to_dense().numpy()
    first = np.arange(op.output_shape[0]) * (op.shape[0] // op.output_shape[0])
    atoms = matrix[first].conj().T
    wanted = np.linalg.solve(matrix.conj().T @ matrix, atoms).T
    assert np.allclose(duals.numpy().reshape(wanted.shape), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("op", "bound"),
    [
        (on_circle(wavelet(DB2), 16, 2), 1.0),
        (on_circle(stft(np.sin(np.pi * (np.arange(8) + 0.5) / 8), 8), 24, 2), 16.0),
    ],
    ids=["db2", "stft"],
)
def test_of_tight_frames_it_is_the_atom_over_the_bound(
    op: cs.ConvOperator, bound: float
) -> None:
    duals = cs.dual_frame(op)
    units = torch.zeros(len(duals), *op.output_shape, dtype=op.dtype)
    units[torch.arange(len(duals)), torch.arange(len(duals)), 0] = 1
    assert torch.allclose(duals, op.adjoint(units) / bound, rtol=0, atol=1e-14)


REFUSED = {
    "zeros": cs.ConvOperator(gaussian(1, 2, 1, 3), 8, padding=1),
    "reflect": cs.ConvOperator(
        gaussian(1, 2, 1, 3), 8, padding=1, padding_mode="reflect"
    ),
    "one-axis": cs.ConvOperator(
        gaussian(1, 2, 1, 3, 3), 8, padding=1, padding_mode=("circular", "zeros")
    ),
    "stride": cs.ConvOperator(
        gaussian(1, 3, 1, 3), 7, padding=1, stride=2, padding_mode="circular"
    ),
    "valid": cs.ConvOperator(gaussian(1, 3, 1, 2), 7, stride=2),
    "larger": cs.ConvOperator(
        gaussian(1, 2, 1, 3), 8, padding=2, padding_mode="circular"
    ),
}


@pytest.mark.parametrize("op", REFUSED.values(), ids=REFUSED)
def test_no_shifts(op: cs.ConvOperator) -> None:
    with pytest.raises(cs.NotApplicable, match=r"not along axis \d; use op\.pinv\(\)"):
        cs.dual_frame(op)


def test_transposed() -> None:
    with pytest.raises(cs.NotApplicable, match=r"a synthesis operator; give .* op\.H"):
        cs.dual_frame(CASES["strided"].T)


def test_no_frames() -> None:
    few = circle(gaussian(1, 1, 1, 3), 8, stride=2)
    with pytest.raises(cs.NotApplicable, match="got 4 atoms for 8 samples"):
        cs.dual_frame(few)
    blind = circle(torch.tensor([[[1.0, 1.0]], [[2.0, 2.0]]]), 8)
    with pytest.raises(cs.NotApplicable, match=r"they span 7 of 8.*op\.pinv\(\)"):
        cs.dual_frame(blind)


def test_memory() -> None:
    with pytest.raises(cs.TooLargeError, match="the dual filters"):
        cs.dual_frame(CASES["2d"], max_bytes=100)
