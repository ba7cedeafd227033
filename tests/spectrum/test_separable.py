"""Kernels that are products along axes: values multiply, to within the error stated."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import convspec as cs
from convspec.operators.separable import may_separate, separate
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian


def bell(taps: int, width: float = 1.0) -> Tensor:
    """A Gaussian window whose sum is 1."""
    line = np.exp(-((np.arange(taps) - (taps - 1) / 2) ** 2) / (2 * width**2))
    return torch.from_numpy(line / line.sum())


def is_product(op: cs.ConvOperator) -> bool:
    return "Kronecker product" in cs.explain(op, method="dense").reason


def product_weight(case: Case) -> Tensor:
    """A weight of the case's shape: one matrix times one vector along each axis."""
    op = case.operator()
    weight = gaussian(case.seed, *op.weight.shape[:2], dtype=op.dtype)
    for j, taps in enumerate(op.weight.shape[2:]):
        line = gaussian(case.seed + 1 + j, taps, dtype=op.dtype)
        weight = weight[..., None] * line
    return weight


@settings(max_examples=120)
@given(st.one_of(geometries.any_case(), geometries.asymmetric()))
def test_products_along_every_axis(case: Case) -> None:
    """Of any geometry: the values of the matrix, within the error stated."""
    op = case.operator(product_weight(case))
    spec = cs.spectrum(op, method="dense")
    matrix = op.to_dense().numpy()
    off = np.abs(spec.values - oracles.singular_values(matrix)).max()
    assert off <= spec.error + oracles.svd_tolerance(matrix)


@pytest.mark.parametrize("mode", geometries.MODES)
def test_one_axis_splits_off(mode: str) -> None:
    """Along rows a vector, along columns and channels anything."""
    weight = gaussian(1, 2, 3, 1, 3) * gaussian(2, 3)[:, None]
    op = cs.ConvOperator(weight, (7, 6), padding=1, padding_mode=mode, stride=(1, 2))
    assert is_product(op)
    spec = cs.spectrum(op, method="dense")
    known = oracles.singular_values(op.to_dense().numpy())
    assert np.abs(spec.values - known).max() <= 2 * spec.error
    assert spec.error < 1e-11


def test_channels_times_a_line() -> None:
    """In 1-D a matrix of channels times a vector of taps."""
    weight = gaussian(3, 6, 4)[..., None] * gaussian(4, 5)
    op = cs.ConvOperator(weight, 20, padding=2)
    assert "the largest of 20 x 20" in cs.explain(op).reason
    spec = cs.spectrum(op)
    known = oracles.singular_values(op.to_dense().numpy())
    assert np.abs(spec.values - known).max() <= 2 * spec.error


def test_gaussian_blur() -> None:
    """9 x 9 on 256 x 256: all 65,536 values from those of one line."""
    line = bell(9)
    op = cs.ConvOperator(torch.outer(line, line)[None, None], 256, padding=4)
    spec = cs.spectrum(op)
    one = oracles.singular_values(
        cs.ConvOperator(line[None, None], 256, padding=4).to_dense().numpy()
    )
    known = np.sort(np.multiply.outer(one, one), axis=None)[::-1]
    assert np.abs(spec.values - known).max() <= spec.error < 1e-11
    assert round(spec.condition_number, 2) == 4824.25
    assert spec.rank() == 65536
    smallest = cs.spectrum(op, 2, "smallest")
    assert np.array_equal(smallest.values, spec.values[-2:])


def test_box_norm_is_the_square_of_the_lines() -> None:
    op = cs.ConvOperator(
        torch.ones(1, 1, 15, 15, dtype=torch.float64) / 225, 96, padding=7
    )
    line = cs.ConvOperator(torch.ones(1, 1, 15, dtype=torch.float64) / 15, 96, padding=7)
    spec, one = cs.spectrum(op), cs.spectrum(line)
    assert abs(spec.norm - one.norm**2) <= spec.error + 3 * one.error


def test_depthwise_groups_split_each_by_itself() -> None:
    """Of three groups two are products, of different vectors, and one is not."""
    a, b = (torch.outer(gaussian(s, 3), gaussian(s + 1, 3)) for s in (5, 7))
    weight = torch.stack([a, gaussian(9, 3, 3), b])[:, None]
    op = cs.ConvOperator(weight, 8, padding=1, groups=3)
    assert "some blocks of it are a Kronecker product" in cs.explain(op).reason
    spec = cs.spectrum(op)
    known = oracles.singular_values(op.to_dense().numpy())
    assert np.abs(spec.values - known).max() <= 2 * spec.error


def test_many_groups_split_together() -> None:
    """128 different products are two batches of small matrices."""
    columns, rows = gaussian(1, 128, 1, 3, 1), gaussian(2, 128, 1, 1, 3)
    op = cs.ConvOperator(columns * rows, (9, 10), padding=1, groups=128)
    assert cs.explain(op).flops < 1e7
    spec = cs.spectrum(op)
    known = np.concatenate(
        [
            oracles.singular_values(
                cs.ConvOperator(kernel[None], (9, 10), padding=1).to_dense().numpy()
            )
            for kernel in columns * rows
        ]
    )
    assert np.abs(spec.values - np.sort(known)[::-1]).max() <= 2 * spec.error


def test_integers_split_exactly() -> None:
    """Sobel's kernel: closed-form products."""
    weight = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])[None, None]
    op = cs.ConvOperator(weight, 12, padding=1)
    assert is_product(op)
    spec = cs.spectrum(op)
    j = np.arange(1, 13) * np.pi / 26
    known = np.multiply.outer(4 * np.cos(j) ** 2, 2 * np.abs(np.cos(2 * j)))
    off = np.abs(spec.values - np.sort(known, axis=None)[::-1]).max()
    assert off <= spec.error + 1e-14


@pytest.mark.parametrize("power", [-14, -30, -46])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_covers_what_is_no_product(power: int, seed: int) -> None:
    """Near products, taken for such or not: the error holds."""
    line = gaussian(seed, 4)
    weight = torch.outer(line, line) + 2.0**power * gaussian(seed + 9, 4, 4)
    op = cs.ConvOperator(weight[None, None], 9, padding=2)
    known = oracles.singular_values(op.to_dense().numpy())
    memory = cs.explain(cs.ConvOperator(gaussian(1, 1, 1, 4, 4), 9, padding=2)).memory
    for limit in (2**31, memory - 1):
        plan = cs.explain(op, max_bytes=limit)
        if plan.method is None:
            assert power == -14
            continue
        spec = cs.spectrum(op, max_bytes=limit)
        assert np.abs(spec.values - known).max() <= spec.error + 1e-13
        if limit < memory and power == -30:
            assert "of the largest weight" in plan.reason
            assert 1e-11 < spec.error < 1e-6
            assert spec.rank(0) >= spec.rank()


def test_single_precision_weights() -> None:
    """A Gaussian rounded to float32 is taken for a product only where it has to be."""
    line = bell(5)
    weight = torch.outer(line, line).float()[None, None]
    small = cs.ConvOperator(weight, 10, padding=2)
    assert not is_product(small)
    large = cs.ConvOperator(weight, 200, padding=2)
    spec = cs.spectrum(large)
    assert 1e-10 < spec.error < 1e-6
    assert spec.eps * max(spec.shape) * spec.norm >= 1e-10
    one = cs.spectrum(small, dtype=torch.float32)
    assert np.abs(one.values - cs.spectrum(small).values).max() <= one.error


def test_no_product() -> None:
    assert separate(gaussian(1, 2, 2, 3, 3), (1, 1), 1e-12) is None
    assert separate(gaussian(1, 1, 1, 3), (1,), 1e-12) is None
    assert separate(gaussian(1, 3, 2, 1, 1), (1, 1), 1e-12) is None
    assert not is_product(cs.ConvOperator(gaussian(2, 3, 3, 3, 3), 6, padding=1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_first_look_misses_no_product(dim: int, dtype: torch.dtype) -> None:
    """One axis of several kernels is a product with the rest, of the others none."""
    for axis in range(dim):
        shape = [3] * dim
        line, shape[axis] = [1] * dim, 1
        line[axis] = 3
        weight = gaussian(1, 40, 4, 2, *shape, dtype=dtype)
        weight = weight * gaussian(2, 40, 1, 1, *line, dtype=dtype)
        weight = torch.cat([weight, gaussian(3, 9, 4, 2, *[3] * dim, dtype=dtype)])
        assert may_separate(weight, 1e-15).tolist() == [True] * 40 + [False] * 9
        for kernel in weight[:40]:
            found = separate(kernel, [1] * dim, 4e-15)
            assert found is not None
            assert found.axes == (axis,)
            assert found.distance < 1e-11
