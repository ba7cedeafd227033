"""The symbol F(w): plain sums, plane waves, grids, Gram polynomials, block spectra."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian

EPS = 2.0**-52
FREQUENCIES = {
    1: [[0.0], [0.3], [-2.1], [math.pi]],
    2: [[0.0, 0.0], [0.3, -1.2], [math.pi, 2.5]],
    3: [[0.0, 0.0, 0.0], [0.3, -1.2, 2.2]],
}


def assert_near(found: torch.Tensor, expected: Any, scale: float) -> None:
    expected = torch.as_tensor(expected)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 256 * EPS * scale


# id, weight shape, input size, options
CASES = [
    ("1d", (2, 3, 4), (9,), {}),
    ("1d-padding", (2, 3, 4), (9,), {"padding": ((3, 1),)}),
    ("1d-dilated", (2, 1, 3), (9,), {"dilation": 2, "padding": 2}),
    ("1d-groups", (4, 2, 3), (5,), {"groups": 2, "padding": 1}),
    ("2d", (3, 2, 3, 2), (5, 6), {"padding": (1, 0)}),
    (
        "2d-dilated",
        (1, 2, 2, 3),
        (5, 9),
        {"dilation": (3, 2), "padding": ((1, 2), (0, 4))},
    ),
    ("2d-depthwise", (3, 1, 3, 3), (4, 4), {"groups": 3, "padding": 1}),
    ("3d", (2, 1, 2, 1, 3), (3, 3, 4), {"padding": (0, 0, 1)}),
]
PARAMETERS = {"argvalues": [c[1:] for c in CASES], "ids": [c[0] for c in CASES]}


@pytest.mark.parametrize(("shape", "size", "options"), **PARAMETERS)
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.complex128], ids=["real", "complex"]
)
def test_at_is_the_sum_over_taps(shape, size, options, dtype) -> None:
    """F(w) = sum_t K_t exp(i <d t - before, w>), a block per group."""
    weight = gaussian(0, *shape, dtype=dtype)
    op = cs.ConvOperator(weight, size, **options)
    symbol = op.symbol()
    dim, groups = len(size), options.get("groups", 1)
    frequencies = np.array(FREQUENCIES[dim])
    K = weight.numpy().reshape(groups, -1, *shape[1:])
    expected = np.zeros((len(frequencies), *K.shape[:3]), dtype=complex)
    for tap in np.ndindex(*shape[2:]):
        lag = [
            a.dilation * t - a.before for a, t in zip(op.geometry.axes, tap, strict=True)
        ]
        wave = np.exp(1j * frequencies @ np.array(lag, dtype=float))
        expected += wave[:, None, None, None] * K[(..., *tap)]
    found = symbol.at(frequencies)
    assert found.dtype == torch.complex128
    assert_near(found, expected, float(weight.abs().sum()))
    assert symbol.dim == dim
    assert symbol.groups == groups
    assert symbol.block_shape == K.shape[1:3]


@pytest.mark.parametrize(("shape", "size", "options"), **PARAMETERS)
def test_grid_is_at(shape, size, options) -> None:
    """The torus grid, also one coarser than the kernel is long."""
    weight = gaussian(1, *shape)
    symbol = cs.ConvOperator(weight, size, **options).symbol()
    for points in [(2, 3, 5)[: len(size)], (1,) * len(size), (8,) * len(size)]:
        grid = symbol.grid(points)
        index = np.indices(points).reshape(len(points), -1).T
        plain = symbol.at(2 * math.pi * index / np.array(points))
        assert grid.shape == (*points, symbol.groups, *symbol.block_shape)
        assert_near(grid.reshape(plain.shape), plain, float(weight.abs().sum()))
    assert torch.equal(symbol.grid(4), symbol.grid((4,) * len(size)))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_plane_waves_are_eigenfunctions(stride: int, groups: int) -> None:
    """The torus operator maps exp(i <q, w>) v[c, phase] to exp(i <p, w>) F(w) v."""
    grid = (3, 4)  # outputs per axis
    size = tuple(stride * n for n in grid)
    weight = gaussian(2, 4, 2, 3, 2)
    op = cs.ConvOperator(weight, size, stride=stride, padding=1, groups=groups).circular()
    blocks = op.symbol().grid(grid)  # (3, 4, groups, rows, columns)
    v = gaussian(3, 2 * groups, stride, stride, dtype=torch.complex128)
    for j in np.ndindex(*grid):
        w = [2 * math.pi * index / n for index, n in zip(j, grid, strict=True)]
        wave = torch.tensor(
            np.exp(1j * np.add.outer(*map(np.multiply, w, map(range, grid))))
        )
        # pixel s q + r of channel c is wave[q] v[c, r]
        x = torch.einsum("pq,cab->cpaqb", wave, v).reshape(op.input_shape)
        image = blocks[j] @ v.reshape(groups, -1, 1)
        expected = image.reshape(-1, 1, 1) * wave
        assert_near(op.apply(x), expected, float(weight.abs().sum() * v.abs().max()))


@settings(max_examples=200)
@given(geometries.circulants(1) | geometries.circulants(2) | geometries.circulants(3))
def test_blocks_have_the_singular_values_of_the_torus(case: Case) -> None:
    """Any stride that divides, dilation, groups, kernels that wrap around the torus."""
    op = case.operator()
    blocks = op.symbol().grid(op.output_shape[1:]).flatten(0, -3).numpy()
    dense = op.to_dense().numpy()
    found = np.linalg.svd(blocks, compute_uv=False)
    np.testing.assert_allclose(
        oracles.descending(found, min(dense.shape)),
        oracles.singular_values(dense),
        rtol=0,
        atol=oracles.svd_tolerance(dense),
    )
    assert np.linalg.norm(blocks) == pytest.approx(op.frobenius_norm(), rel=1e-13)


def test_kernel_larger_than_torus_is_folded() -> None:
    """k = 5 on n = 3: cropping the kernel to 3 taps would give another norm."""
    weight = torch.tensor([[[1.0, 2.0, 4.0, 8.0, 16.0]]]).double()
    op = cs.ConvOperator(weight, 3, padding=2, padding_mode="circular")
    moduli = op.symbol().grid(3).abs().flatten()
    cropped = np.abs(np.fft.fft([1.0, 2.0, 4.0]))
    assert moduli[0] == pytest.approx(31.0, rel=1e-15)
    assert cropped[0] == 7.0
    known = np.abs(np.fft.fft([4.0, 9.0, 18.0]))
    np.testing.assert_allclose(moduli.numpy(), known, rtol=1e-14)


STRIDED = [
    *CASES,
    ("1d-strided", (2, 3, 4), (8,), {"stride": 2, "padding": 1}),
    ("1d-stride-over-kernel", (2, 1, 2), (9,), {"stride": 3}),
    ("2d-strided-groups", (4, 1, 3, 3), (6, 6), {"stride": (2, 3), "groups": 2}),
]
STRIDED_PARAMETERS = {
    "argvalues": [c[1:] for c in STRIDED],
    "ids": [c[0] for c in STRIDED],
}


@pytest.mark.parametrize(("shape", "size", "options"), **STRIDED_PARAMETERS)
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.complex128], ids=["real", "complex"]
)
class TestAlgebra:
    def symbol(self, shape, size, options, dtype) -> tuple[cs.Symbol, float]:
        weight = gaussian(4, *shape, dtype=dtype)
        return cs.ConvOperator(weight, size, **options).symbol(), float(
            weight.abs().sum()
        )

    def test_gram(self, shape, size, options, dtype) -> None:
        """gram() is F^H F at every frequency, and Hermitian."""
        symbol, scale = self.symbol(shape, size, options, dtype)
        F = symbol.at(FREQUENCIES[len(size)])
        gram = symbol.gram().at(FREQUENCIES[len(size)])
        assert_near(gram, F.mH @ F, scale**2)
        assert_near(gram, gram.mH, scale**2)

    def test_transpose(self, shape, size, options, dtype) -> None:
        """transpose() is F(-w)^T, and the symbol of op.T."""
        symbol, scale = self.symbol(shape, size, options, dtype)
        frequencies = np.array(FREQUENCIES[len(size)])
        swapped = symbol.transpose()
        assert_near(swapped.at(frequencies), symbol.at(-frequencies).mT, scale)
        assert_near(swapped.transpose().at(frequencies), symbol.at(frequencies), scale)
        weight = gaussian(4, *shape, dtype=dtype)
        of_transpose = cs.ConvOperator(weight, size, **options).T.symbol()
        assert_near(of_transpose.at(frequencies), swapped.at(frequencies), scale)

    def test_conjugate_symmetry(self, shape, size, options, dtype) -> None:
        """F(-w) = conj F(w) for real kernels, and only for those."""
        symbol, scale = self.symbol(shape, size, options, dtype)
        frequencies = np.array(FREQUENCIES[len(size)])[1:]
        F, mirrored = symbol.at(frequencies), symbol.at(-frequencies)
        if dtype == torch.float64:
            assert_near(mirrored, F.conj(), scale)
        else:
            assert float((mirrored - F.conj()).abs().max()) > 0.1

    def test_mean_square_is_the_kernel(self, shape, size, options, dtype) -> None:
        """Parseval on a grid that no lag wraps around."""
        symbol, _ = self.symbol(shape, size, options, dtype)
        grid = symbol.grid(12)
        weight = gaussian(4, *shape, dtype=dtype)
        mean = float(grid.abs().square().sum()) / 12 ** len(size)
        assert mean == pytest.approx(float(weight.abs().square().sum()), rel=1e-13)


def test_transposed_layer() -> None:
    """A transposed convolution's symbol is that of the convolution, transposed."""
    weight = gaussian(5, 2, 3, 3)
    scatter = cs.ConvOperator(weight, 4, stride=2, transposed=True)
    gather = cs.ConvOperator(weight, 9, stride=2)
    frequencies = FREQUENCIES[1]
    expected = gather.symbol().transpose().at(frequencies)
    assert_near(scatter.symbol().at(frequencies), expected, float(weight.abs().sum()))


def test_groups_are_blocks() -> None:
    """Each block is the symbol of its group alone."""
    weight = gaussian(6, 6, 2, 3)
    together = cs.ConvOperator(weight, 5, groups=3, padding=1).symbol().grid(7)
    for group in range(3):
        alone = cs.ConvOperator(weight[2 * group : 2 * group + 2], 5, padding=1)
        # BLAS may add up the taps of a wider table in another order
        scale = float(alone.weight.abs().sum())
        assert_near(together[:, group], alone.symbol().grid(7)[:, 0], scale)


def test_differentiable_in_the_weight() -> None:
    weight = gaussian(7, 2, 2, 3).requires_grad_()
    symbol = cs.ConvOperator(weight, 4, stride=2).symbol()
    assert torch.autograd.gradcheck(
        lambda w: torch.view_as_real(
            cs.ConvOperator(w, 4, stride=2).symbol().at([[0.7]])
        ),
        weight,
    )
    symbol.gram().coefficients.sum().backward()
    assert torch.isfinite(weight.grad).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.at([0.1, 0.2]), r"shape \(j, 2\), in radians; got \(2,\)"),
        (lambda s: s.at([[0.1]]), r"shape \(j, 2\), in radians; got \(1, 1\)"),
        (lambda s: s.at(np.zeros((4, 3))), r"shape \(j, 2\), in radians; got \(4, 3\)"),
        (lambda s: s.grid((4,)), r"integer or 2 integers .*at least 1; got \(4,\)"),
        (
            lambda s: s.grid((4, 4, 4)),
            r"integer or 2 integers .*at least 1; got \(4, 4, 4\)",
        ),
        (lambda s: s.grid((4, 0)), r"integer or 2 integers .*at least 1; got \(4, 0\)"),
        (lambda s: s.grid(-1), r"integer or 2 integers .*at least 1; got -1"),
    ],
    ids=[
        "at-flat",
        "at-one-column",
        "at-three-columns",
        "grid-one",
        "grid-three",
        "grid-zero",
        "grid-negative",
    ],
)
def test_errors(call: Any, message: str) -> None:
    symbol = cs.ConvOperator(torch.ones(1, 1, 3, 3), 4).symbol()
    with pytest.raises(cs.GeometryError, match=message):
        call(symbol)


def test_too_many_frequencies() -> None:
    symbol = cs.ConvOperator(torch.ones(64, 64, 3, 3), 4).symbol()
    with pytest.raises(cs.TooLargeError, match="fewer frequencies at a time"):
        symbol.grid(4096)
    with pytest.raises(cs.TooLargeError, match="max_bytes = 1000 bytes"):
        symbol.at([[0.0, 0.0]], max_bytes=1000)
    assert symbol.at([[0.0, 0.0]], max_bytes=64 * 64 * 16).shape == (1, 1, 64, 64)


def test_no_frequencies() -> None:
    symbol = cs.ConvOperator(torch.ones(3, 2, 3, 3), 4).symbol()
    assert symbol.at(np.zeros((0, 2))).shape == (0, 1, 3, 2)


def test_repr() -> None:
    symbol = cs.ConvOperator(torch.ones(4, 3, 3, 3), 4, stride=2, groups=2).symbol()
    assert "2 frequencies" in repr(symbol)
    assert "2 blocks of 2 x 12" in repr(symbol)


def test_grid_reduces_long_lags_in_integers() -> None:
    """Lags of ten thousand pixels cost no digits: phases are exact before the sine."""
    n, lag = 10_007, 10_000
    weight = torch.tensor([[[0.0, 1.0]]]).double()
    op = cs.ConvOperator(
        weight, n, dilation=lag, padding=((0, lag),), padding_mode="circular"
    )
    turns = (lag * np.arange(n) % n) / n
    known = np.exp(2j * np.pi * turns)
    assert np.abs(op.symbol().grid(n).flatten().numpy() - known).max() <= 8 * EPS


# -- once defects --------------------------------------------------------------------


def test_gram_of_half_precision() -> None:
    """300^2 is beyond float16, not beyond the symbol's float64."""
    symbol = cs.ConvOperator(torch.full((1, 1, 2), 300.0).half(), 4).symbol()
    assert symbol.gram().at([[0.0]]).item() == symbol.at([[0.0]]).item() ** 2 == 360_000


def test_grid_of_numpy_integers() -> None:
    symbol = cs.ConvOperator(torch.ones(1, 1, 3, 3), 4).symbol()
    assert torch.equal(symbol.grid(np.int64(4)), symbol.grid(4))
