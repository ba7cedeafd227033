"""Inverses, spaces and determinants by cosines and sines, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings

import convspec as cs
from convspec.inverse.decomposition import Decomposition
from convspec.inverse.form import Form
from convspec.limits import DEFAULT_MAX_BYTES
from tests import oracles
from tests.gaussian import gaussian
from tests.mirrored import mirrored

CUT = 1e-9  # of the largest value: below it an oracle of double precision cannot judge


def form_of(op: cs.ConvOperator) -> tuple[Form, bool]:
    form = Form.of(op, DEFAULT_MAX_BYTES)
    return form, any(axis.half for part in form.parts for axis in part.axes)


@settings(max_examples=250, deadline=None)
@given(mirrored())
def test_blocks_are_the_operator(op: cs.ConvOperator) -> None:
    form, half = form_of(op)
    event(f"half of a ring: {half}")
    matrix = op.to_dense().numpy()
    expected = oracles.singular_values(matrix)
    found = np.ldexp(Decomposition.of(form).values, form.exponent)
    assert np.abs(found - expected).max() <= 1e-13 * max(op.shape) * expected[0]
    y = gaussian(0, *op.output_shape, dtype=op.dtype)
    x = op.lstsq(y, damp=0.5).solution.numpy().reshape(-1)
    gram = matrix.conj().T @ matrix + 0.25 * np.eye(matrix.shape[1])
    solved = np.linalg.solve(gram, matrix.conj().T @ y.numpy().reshape(-1))
    assert np.abs(x - solved).max() <= 1e-11 * (1 + np.abs(solved).max())


@settings(max_examples=120, deadline=None)
@given(mirrored())
def test_spaces_and_inverses(op: cs.ConvOperator) -> None:
    matrix = op.to_dense().numpy()
    u, s, _ = np.linalg.svd(matrix)
    rank = int((s > CUT * s[0]).sum())
    if not s[0] or s[rank - 1] < 1e-5 * s[0]:
        return  # no oracle would tell
    event(f"half of a ring: {form_of(op)[1]}")
    inverse = np.linalg.pinv(matrix, rcond=CUT)
    found = op.pinv(rank_rtol=CUT).to_dense().numpy()
    assert np.abs(found - inverse).max() <= 1e-9 * np.abs(inverse).max()
    for this, a in ((op, matrix), (op.H, matrix.conj().T)):
        zeros = cs.null_space(this, rank_rtol=CUT).basis().flatten(1).numpy()
        assert len(zeros) == a.shape[1] - rank
        assert np.abs(zeros.conj() @ zeros.T - np.eye(len(zeros))).max(initial=0) < 1e-12
        assert np.abs(a @ zeros.T).max(initial=0) <= 1e-12 * s[0]
    basis = cs.range_space(op, rank_rtol=CUT).basis().flatten(1).numpy()
    projection = u[:, :rank] @ u[:, :rank].conj().T
    assert np.abs(basis.T @ basis.conj() - projection).max() < 1e-10


@settings(max_examples=120, deadline=None)
@given(mirrored())
def test_determinants(op: cs.ConvOperator) -> None:
    if op.shape[0] != op.shape[1]:
        return
    event(f"half of a ring: {form_of(op)[1]}")
    matrix = op.to_dense().numpy()
    s = oracles.singular_values(matrix)
    if s[-1] < 1e-6 * s[0] or not s[0]:
        return
    expected = np.linalg.slogdet(matrix)[1]
    assert float(cs.log_abs_det(op)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    y = gaussian(0, *op.output_shape, dtype=op.dtype)
    x = op.solve(y).numpy().reshape(-1)
    assert np.abs(matrix @ x - y.numpy().reshape(-1)).max() < 1e-8


def test_deblurring_with_mirrors_is_one_division() -> None:
    """Neumann's boundary: 512 x 512 pixels, a blur that is no product of lines."""
    line = torch.arange(-4, 5, dtype=torch.float64)
    ring = torch.exp(-(line[:, None] ** 2 + line**2).sqrt())
    op = cs.ConvOperator(
        (ring / ring.sum())[None, None], 512, padding=4, padding_mode="symmetric"
    )
    form, half = form_of(op)
    assert half
    assert form.flops < 1e8
    x = gaussian(1, *op.input_shape, dtype=torch.float64)
    back = op.solve(op.apply(x))
    condition = cs.spectrum(op).condition_number
    assert (back - x).norm() <= 1e-14 * condition * x.norm()


def test_the_null_space_of_the_gradient_is_constant() -> None:
    kernel = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    kernel[:, :, 0, 0] = -1
    kernel[0, 0, 1, 0] = kernel[1, 0, 0, 1] = 1
    op = cs.ConvOperator(kernel, 64, padding=((0, 1), (0, 1)), padding_mode="replicate")
    assert form_of(op)[1]
    space = cs.null_space(op)
    assert space.dimension == 1
    assert space.basis().abs().sub(1 / 64).abs().max() < 1e-14
    # solving Poisson's equation: the potential of a gradient, but for a constant
    u = gaussian(2, 1, 64, 64, dtype=torch.float64)
    found = op.lstsq(op.apply(u)).solution
    assert (found - (u - u.mean())).abs().max() < 1e-11
