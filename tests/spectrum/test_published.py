"""Spectra of kernels that were published before, at the size published.

The three kernels at n = 20, and the unfinished stride test, are those of the tests of
brain-research/conv-sv (``conv2d_singular_values_test.py``), the code of Sedghi, Gupta and
Long, "The Singular Values of Convolutional Layers", ICLR 2019. Its tests compare an
explicit matrix with the FFT and print no numbers; the figures below are the SVD of that
matrix, to the decimals given. The zero-padded ones are of the same kernels.
"""

from __future__ import annotations

import numpy as np
import pytest

import convspec as cs
from tests import oracles

N = 20
LINE = np.array([2.0, 7, -1])
SQUARE = np.array([[2.0, 7, -1], [1, 3, -8], [5, -3, 1]])
RECTANGLE = np.array([[2.0, 7, -1], [1, 3, -8]])

# to the eight decimals given
HALF_UNIT = 0.5e-8


def operator(kernel: np.ndarray, mode: str) -> cs.ConvOperator:
    return cs.ConvOperator(kernel[None, None], N, padding="same", padding_mode=mode)


def spectrum(kernel: np.ndarray, mode: str) -> np.ndarray:
    return oracles.singular_values(operator(kernel, mode).to_dense().numpy())


def published_matrix(kernel: np.ndarray) -> np.ndarray:
    """Their explicit matrix: output i reads the pixels i + j modulo n."""
    dim = kernel.ndim
    matrix = np.zeros((N,) * (2 * dim))
    for output in np.ndindex(*(N,) * dim):
        for tap in np.ndindex(*kernel.shape):
            pixel = tuple((i + j) % N for i, j in zip(output, tap, strict=True))
            matrix[output + pixel] = kernel[tap]
    return matrix.reshape(N**dim, N**dim)


@pytest.mark.parametrize(
    "kernel", [LINE, SQUARE, RECTANGLE], ids=["1d", "2d", "2d-rectangular"]
)
def test_published_construction(kernel: np.ndarray) -> None:
    """Their matrix, ours up to a cyclic shift of rows, and |FFT| have one spectrum."""
    matrix = published_matrix(kernel)
    known = oracles.singular_values(matrix)
    found = spectrum(kernel, "circular")
    axes = tuple(range(kernel.ndim))
    fourier = oracles.descending(np.abs(np.fft.fftn(kernel, (N,) * len(axes), axes)))
    tolerance = oracles.svd_tolerance(matrix)
    np.testing.assert_allclose(found, known, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found, fourier, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("kernel", "largest"),
    [
        (LINE, [8.00563364] * 2),
        (SQUARE, [22.91221348] * 2 + [22.73452631] * 2),
        (RECTANGLE, [17.27003904] * 2),
    ],
    ids=["1d", "2d", "2d-rectangular"],
)
def test_largest_on_the_torus(kernel: np.ndarray, largest: list[float]) -> None:
    """In pairs, since w and -w share their singular values."""
    values = spectrum(kernel, "circular")
    count = len(largest)
    np.testing.assert_allclose(values[:count], largest, rtol=0, atol=HALF_UNIT)
    assert values[count] < largest[-1] - HALF_UNIT


def test_smallest_on_the_torus() -> None:
    assert spectrum(LINE, "circular")[-1] == pytest.approx(6.0, abs=1e-13)
    assert spectrum(SQUARE, "circular")[-1] == pytest.approx(0.15484142, abs=HALF_UNIT)


def test_sum_of_squares_on_the_torus() -> None:
    """400 pixels times the kernel's 163, in exact integers."""
    assert np.sum(SQUARE**2) == 163
    op = operator(SQUARE, "circular")
    assert op.frobenius_norm() ** 2 == pytest.approx(65200, rel=1e-15)
    assert np.sum(spectrum(SQUARE, "circular") ** 2) == pytest.approx(65200, rel=1e-13)


def test_zero_padding_is_another_operator() -> None:
    """Zero padded, the norm is 0.8 % smaller and the smallest value 159 times."""
    values = spectrum(SQUARE, "zeros")
    np.testing.assert_allclose(
        values[:2], [22.72753302, 22.72744344], rtol=0, atol=HALF_UNIT
    )
    assert values[-1] == pytest.approx(9.747e-4, abs=0.5e-7)
    assert values[0] < spectrum(SQUARE, "circular")[0]


def test_strides_as_they_left_them_open() -> None:
    """Their unfinished stride test: [2, 7, -1, 16] on 30 pixels with stride 2.

    The strided matrix is every second row of the circulant one, and its spectrum that of
    the two-column symbol blocks.
    """
    kernel = np.array([2.0, 7, -1, 16])
    op = cs.ConvOperator(
        kernel[None, None], 30, stride=2, padding=((0, 2),), padding_mode="circular"
    )
    rows = np.zeros((15, 30))
    for i in range(15):
        for j in range(4):
            rows[i, (j + 2 * i) % 30] = kernel[j]
    assert np.array_equal(op.to_dense().numpy(), rows)
    blocks = np.linalg.svd(op.symbol().grid(15).numpy(), compute_uv=False)
    np.testing.assert_allclose(
        oracles.descending(blocks),
        oracles.singular_values(rows),
        rtol=0,
        atol=oracles.svd_tolerance(rows),
    )
