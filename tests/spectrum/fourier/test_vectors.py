"""Singular vectors from single frequencies: what makes them that, for every torus."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import convspec as cs
from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from convspec.spectrum.fourier.axis_basis import AxisBasis
from convspec.spectrum.fourier.frequencies import fourier_obstacle
from convspec.spectrum.fourier.values import fourier_values
from convspec.spectrum.fourier.vectors import fourier_vectors
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian

RTOL = 1e-12  # of sigma_1, for float64


def columns(images: Tensor) -> Tensor:
    return images.reshape(len(images), -1).T


def assert_triples(op: ConvOperator, count: int, which: str, rtol: float = RTOL) -> None:
    """A v = s u, A^H u = s v, orthonormal, the right values, real where A is."""
    values, error, left, right = fourier_vectors(op, count, which)
    assert left.shape == (count, *op.output_shape)
    assert right.shape == (count, *op.input_shape)
    assert left.dtype == right.dtype == op.dtype
    matrix = op.to_dense().detach()
    known = oracles.singular_values(matrix.to(torch.complex128).numpy())
    part = known[:count] if which == "largest" else known[len(known) - count :]
    slack = rtol * known[0]
    assert np.all(np.diff(values) <= 0)
    assert np.abs(values - part).max() <= error + slack
    u, v = columns(left), columns(right)
    s = torch.from_numpy(values).to(u)
    assert (matrix @ v - u * s).norm(dim=0).max() <= slack
    assert (matrix.mH @ u - v * s).norm(dim=0).max() <= slack
    unit = torch.eye(count, dtype=u.dtype)
    for vectors in (u, v):
        assert (vectors.mH @ vectors - unit).abs().max() <= rtol


def assert_case(op: ConvOperator, number: int) -> None:
    length = min(op.shape)
    for count in {1, number % length + 1, length}:
        for which in ("largest", "smallest"):
            assert_triples(op, count, which)


circulants = st.one_of(*[geometries.circulants(dim) for dim in (1, 2, 3)])


@settings(max_examples=80)
@given(circulants, st.booleans(), st.integers(0, 10**6))
def test_every_torus(case: Case, transpose: bool, number: int) -> None:
    op = case.operator()
    assert_case(op.T if transpose else op, number)


@settings(max_examples=25)
@given(geometries.any_case(), st.integers(0, 10**6))
def test_wherever_fourier_is_exact(case: Case, number: int) -> None:
    op = case.operator()
    if fourier_obstacle(op.geometry) is None:
        assert_case(op, number)
    else:
        with pytest.raises(cs.NotApplicable):
            cs.explain(op, method="fourier")


@pytest.mark.slow
@settings(max_examples=1500)
@given(circulants, st.booleans(), st.integers(0, 10**6))
def test_many_more(case: Case, transpose: bool, number: int) -> None:
    op = case.operator()
    assert_case(op.T if transpose else op, number)


def circular(**options: Any) -> dict[str, Any]:
    return {"padding_mode": "circular", **options}


# weight shape, input size, options: pixels unread, outputs empty or alike, ranks missing
GEOMETRIES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "wide": ((2, 5, 3, 3), (4, 5), circular(padding=1)),
    "tall": ((5, 2, 3, 3), (5, 4), circular(padding=1)),
    "strided": ((3, 2, 3, 3), (6, 4), circular(padding=1, stride=2)),
    "strided-tall": ((9, 2, 3), 8, circular(padding=1, stride=2)),
    "groups": ((6, 2, 3), 5, circular(padding=1, groups=3)),
    "depthwise": ((4, 1, 3, 3), 4, circular(padding=1, groups=4)),
    "kernel-larger-than-torus": ((2, 2, 7), 3, circular(padding=3)),
    "patches-with-a-remainder": ((8, 3, 2, 2), (5, 7), {"stride": 2}),
    "patches-with-gaps": ((3, 2, 2), 11, {"stride": 3}),
    "pointwise": ((3, 2, 1, 1), (4, 3), {}),
    "pointwise-strided": ((3, 2, 1, 1), (7, 5), {"stride": (3, 2)}),
    "pointwise-zero-padded": ((3, 2, 1), 5, {"padding": 2}),
    "pointwise-wide-zero-padded": ((2, 5, 1), 5, {"padding": 2}),
    "pointwise-replicated": (
        (3, 2, 1),
        5,
        {"padding": 2, "padding_mode": "replicate"},
    ),
    "pointwise-reflected-strided": (
        (2, 4, 1),
        5,
        {"padding": 3, "padding_mode": "reflect", "stride": 2},
    ),
    "one-axis-factors-out": ((2, 3, 3, 1), (5, 4), circular(padding=(1, 2))),
    "axes-factor-out-around": (
        (2, 3, 1, 3, 1),
        (3, 4, 3),
        circular(padding=1, stride=(2, 1, 1)),
    ),
    "one-pixel": ((3, 2, 3, 3), 1, {"padding": 1}),
    "one-pixel-line": ((3, 2, 3, 3), (1, 6), {"padding": (1, 0), "stride": (1, 3)}),
    "reads-padding-only": ((2, 2, 1), 1, {"padding": 1, "stride": 3}),
    "transposed": ((2, 3, 2, 2), 3, {"stride": 2, "transposed": True}),
    "transposed-gaps": ((2, 3, 2), 3, {"stride": 4, "transposed": True}),
    "transposed-crop": ((2, 3, 2), 1, {"padding": ((1, 0),), "transposed": True}),
    "transposed-groups": (
        (4, 3, 2),
        4,
        {"stride": 2, "groups": 2, "transposed": True},
    ),
}


def operator(name: str, dtype: torch.dtype = torch.float64) -> ConvOperator:
    shape, size, options = GEOMETRIES[name]
    return ConvOperator(gaussian(1, *shape, dtype=dtype), size, **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometries(name: str, dtype: torch.dtype) -> None:
    op = operator(name, dtype)
    assert fourier_obstacle(op.geometry) is None
    for count in range(1, min(op.shape) + 1):
        assert_triples(op, count, "largest")
        assert_triples(op, count, "smallest")


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_single_precision(name: str, dtype: torch.dtype) -> None:
    op = operator(name, dtype)
    eps = float(np.finfo(np.float32).eps)
    assert_triples(op, min(op.shape), "largest", rtol=eps * (max(op.shape) + 64))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_same_whatever_the_count(name: str) -> None:
    """Fewer triples are some of all, bit for bit; values are those of the spectrum."""
    op = operator(name)
    length = min(op.shape)
    values, error, left, right = fourier_vectors(op, length, "largest")
    reduced = Reduction.of(op)
    plain, plain_error = fourier_values(reduced)
    assert np.array_equal(values, plain)
    assert error == plain_error
    k = (length + 1) // 2
    for which, part in (("largest", slice(0, k)), ("smallest", slice(length - k, None))):
        some, _, u, v = fourier_vectors(op, k, which)
        assert np.array_equal(some, values[part])
        assert torch.equal(u, left[part])
        assert torch.equal(v, right[part])


@pytest.mark.parametrize("channels", [(2, 2), (1, 3), (4, 1)], ids=str)
def test_zero_operator(channels: tuple[int, int]) -> None:
    op = ConvOperator(torch.zeros(*channels, 3, dtype=torch.float64), 4, padding=1)
    assert_case(op.circular(), 2)


def test_rank_deficient_blocks() -> None:
    """Every block of rank 1, in tall and wide shapes: the zeros are still complete."""
    row, column = gaussian(0, 4, 1, 3, 3), gaussian(1, 1, 3, 1, 1)
    op = ConvOperator(row * column, (4, 5), padding=1).circular()
    assert_case(op, 7)
    assert_case(op.T, 7)


def test_orthogonal_operator() -> None:
    """All values coincide: any orthonormal family is singular, and pairs stay real."""
    weight = torch.linalg.qr(gaussian(0, 3, 3))[0][:, :, None]
    weight = torch.nn.functional.pad(weight, (1, 2))
    op = ConvOperator(weight, 6, padding=((1, 2),), padding_mode="circular")
    assert_case(op, 5)


def test_known_vectors() -> None:
    """[1, -1] on 4 pixels: 2 at the alternating image, 0 at the constant one."""
    weight = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64)
    op = ConvOperator(weight, 4, padding=((0, 1),), padding_mode="circular")
    values, _, left, right = fourier_vectors(op, 4, "largest")
    assert values.tolist() == pytest.approx([2, math.sqrt(2), math.sqrt(2), 0], abs=1e-15)
    alternating = np.array([1, -1, 1, -1]) / 2
    assert np.abs(right[0, 0].numpy() @ alternating) == pytest.approx(1)
    assert np.abs(left[0, 0].numpy() @ alternating) == pytest.approx(1)
    assert right[3, 0].abs().tolist() == pytest.approx([0.5] * 4)


def test_only_the_images_asked_for_are_built() -> None:
    """A 25,088-square operator, whose matrix would take 5 GB: three triples."""
    op = ConvOperator(gaussian(0, 8, 8, 3, 3), (56, 56), padding=1).circular()
    for which in ("largest", "smallest"):
        values, _, left, right = fourier_vectors(op, 3, which)
        assert left.shape == (3, 8, 56, 56)
        scale = torch.from_numpy(values)[:, None, None, None]
        slack = RTOL * op.frobenius_norm()
        assert (op.apply(right) - scale * left).norm() <= slack
        assert (op.adjoint(left) - scale * right).norm() <= slack


def test_weights_that_require_gradients() -> None:
    weight = gaussian(0, 2, 2, 3).requires_grad_()
    op = ConvOperator(weight, 4, padding=1).circular()
    _, _, left, right = fourier_vectors(op, 8, "largest")
    assert not left.requires_grad
    assert not right.requires_grad


@settings(max_examples=60)
@given(st.lists(st.integers(-1, 6), min_size=1, max_size=12))
def test_axis_basis_of_outputs(pixels: list[int]) -> None:
    """Orthonormal; the first are indicators of what reads each pixel, in order."""
    reads = np.array(pixels)
    live = np.unique(reads[reads >= 0])
    tap = np.zeros(1, dtype=np.int64)
    read = Reads(Axis(7, len(reads), 1), tap, np.arange(len(reads)), reads[None])
    basis = AxisBasis.of_outputs(read)
    rows = basis.rows(np.arange(len(reads)))
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(reads)), rtol=0, atol=1e-14)
    assert basis.triples == len(live)
    for row, pixel in zip(rows, live, strict=False):
        inside = reads == pixel
        np.testing.assert_allclose(row, inside / math.sqrt(inside.sum()), rtol=1e-15)
