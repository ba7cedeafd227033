"""One checker for every way an operator can be had: they all must be one matrix."""

from __future__ import annotations

import math

import numpy as np
import torch

import convspec as cs
from tests.oracles import Array, frobenius

RTOL = 1e-12  # relative to ||A||_F ||x||, for float64 and complex128


@torch.no_grad()
def assert_representations_agree(
    op: cs.ConvOperator, reference: Array, seed: int = 0
) -> None:
    """Every matrix, product, adjoint and norm of ``op`` is that of ``reference``."""
    m, n = reference.shape
    norm = frobenius(reference)
    assert op.shape == (m, n)
    assert math.prod(op.input_shape) == n
    assert math.prod(op.output_shape) == m

    assert_matrices(op, reference)
    assert_matrices(op.T, reference.T)
    assert_matrices(op.H, reference.conj().T)
    assert abs(op.frobenius_norm() - norm) <= RTOL * norm

    rng = np.random.default_rng(seed)
    x, y = random_like(rng, reference, n, 3), random_like(rng, reference, m, 3)
    image, back = reference @ x, reference.conj().T @ y
    assert_products(op, x, image, norm)
    assert_products(op.H, y, back, norm)
    assert_products(op.T, y, reference.T @ y, norm)
    outputs = torch.from_numpy(y.T.copy()).reshape(3, *op.output_shape)
    assert_near(op.adjoint(outputs).reshape(3, n).T, back, norm * frobenius(y))
    assert_dot_test(op, x[:, 0], y[:, 0], norm)
    assert_scipy(op, x, y, image, back, norm)


def random_like(rng: np.random.Generator, reference: Array, *shape: int) -> Array:
    """Gaussian numbers, complex where the reference is."""
    values = rng.standard_normal(shape)
    if np.iscomplexobj(reference):
        values = values + 1j * rng.standard_normal(shape)
    return values


def assert_near(found: object, expected: Array, scale: float) -> None:
    """All entries within RTOL of ``scale``."""
    array = np.asarray(found)
    assert array.shape == expected.shape
    assert array.dtype == expected.dtype
    worst = float(np.abs(array - expected).max(initial=0.0))
    assert worst <= RTOL * scale, f"{worst:.3g} apart at scale {scale:.3g}"


def assert_matrices(op: cs.ConvOperator, reference: Array) -> None:
    """The explicit matrices; the sparse one canonical and without stored zeros."""
    m, n = reference.shape
    dense = op.to_dense().numpy()
    assert_near(dense, reference, frobenius(reference))
    sparse = op.to_sparse()
    assert sparse.format == "csr"
    assert sparse.shape == (m, n)
    assert sparse.nnz == np.count_nonzero(dense)
    assert sparse.has_canonical_format
    assert sparse.has_sorted_indices
    np.testing.assert_array_equal(sparse.toarray(), dense)
    assert np.all(sparse.data != 0)
    rows = np.repeat(np.arange(m), np.diff(sparse.indptr))  # the flags may be wrong
    assert np.all(np.diff(rows * n + sparse.indices) > 0)


def assert_products(op: cs.ConvOperator, x: Array, expected: Array, norm: float) -> None:
    """Matrix-free on images, a vector and a block of columns."""
    scale = norm * frobenius(x)
    block = torch.from_numpy(x)
    images = block.T.reshape(x.shape[1], *op.input_shape)
    result = op.apply(images)
    assert result.shape == (x.shape[1], *op.output_shape)
    assert_near(result.reshape(x.shape[1], -1).T, expected, scale)
    assert_near(op @ block, expected, scale)
    assert_near(op @ block[:, 0], expected[:, 0], scale)


def assert_dot_test(op: cs.ConvOperator, x: Array, y: Array, norm: float) -> None:
    """<y, A x> = <A^H y, x> without any matrix."""
    image = op.apply(torch.from_numpy(x).reshape(op.input_shape)).flatten().numpy()
    back = op.adjoint(torch.from_numpy(y).reshape(op.output_shape)).flatten().numpy()
    gap = abs(np.vdot(y, image) - np.vdot(back, x))
    assert gap <= RTOL * norm * frobenius(x) * frobenius(y)


def assert_scipy(
    op: cs.ConvOperator, x: Array, y: Array, image: Array, back: Array, norm: float
) -> None:
    """The LinearOperator's four products."""
    linear = op.to_scipy()
    assert linear.shape == op.shape
    assert linear.dtype == x.dtype
    assert_near(linear.matvec(x[:, 0]), image[:, 0], norm * frobenius(x))
    assert_near(linear.rmatvec(y[:, 0]), back[:, 0], norm * frobenius(y))
    assert_near(linear.matmat(x), image, norm * frobenius(x))
    assert_near(linear.rmatmat(y), back, norm * frobenius(y))
