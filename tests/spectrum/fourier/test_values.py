"""The fast roads to a full circular spectrum end where the slow ones do."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import convspec as cs
from convspec.frequency.conjugate import conjugate_half
from convspec.frequency.torus import TorusBlocks
from convspec.operators.reduce import Reduction
from convspec.operators.symbol import Symbol
from convspec.rounding import blocks, svd_error
from convspec.rounding.blocks import block_values, gram_values, thin_values
from convspec.rounding.waves import symbol_error
from convspec.run import threads as parallel
from convspec.spectrum.fourier import cost
from convspec.spectrum.fourier import values as fourier
from convspec.spectrum.fourier.cost import fourier_bytes
from convspec.spectrum.fourier.frequencies import fourier_obstacle
from convspec.spectrum.fourier.values import fourier_values
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian

EPS = {
    torch.complex64: float(np.finfo(np.float32).eps),
    torch.complex128: float(np.finfo(np.float64).eps),
}


def reduced(op: cs.ConvOperator) -> Reduction:
    return Reduction.of(op)


def torus(*shape: int, size: Any, **options: Any) -> cs.ConvOperator:
    return cs.ConvOperator(gaussian(0, *shape), size, **options).circular()


def reference(op: cs.ConvOperator) -> np.ndarray:
    """Every frequency of the grid through NumPy: stride 1, kernels within the grid."""
    weight = op.weight.numpy().transpose(*range(2, op.weight.ndim), 0, 1)
    axes = range(len(op.geometry.sizes))
    symbol = np.fft.fftn(weight, op.geometry.sizes, axes=axes)
    return np.sort(np.linalg.svd(symbol, compute_uv=False).reshape(-1))[::-1]


def spread_values(seed: int, r: int, c: int, values: list[float]) -> Tensor:
    """A complex matrix with these singular values, to rounding."""
    small = len(values)
    u = torch.linalg.qr(gaussian(seed, r, small, dtype=torch.complex128))[0]
    v = torch.linalg.qr(gaussian(seed + 1, c, small, dtype=torch.complex128))[0]
    return (u * torch.tensor(values, dtype=torch.float64)) @ v.mH


# -- the spectrum ---------------------------------------------------------------------

SIZES = {
    "square": ((6, 6, 3, 3), 16),
    "square-odd-size": ((5, 5, 3, 3), (9, 7)),
    "thin": ((16, 3, 7, 7), 20),
    "thin-transposed": ((3, 16, 5, 5), (12, 9)),
    "one-row": ((1, 7, 3, 3), 8),
    "even-kernel": ((4, 3, 2, 4), 10),
    "line": ((4, 3, 5), 50),
    "volume": ((3, 4, 3, 1, 3), (4, 5, 6)),
    "larger-than-a-chunk": ((40, 36, 3), 5),
}


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("chunk", [1, 2**12, 2**21])
@pytest.mark.parametrize("name", SIZES)
def test_against_the_fft(
    name: str, chunk: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the chunks and the number of threads, and exactly the same values."""
    shape, size = SIZES[name]
    op = torus(*shape, size=size, padding=0)
    once, _ = fourier_values(reduced(op))
    monkeypatch.setattr(cost, "CACHE_BYTES", chunk)
    monkeypatch.setattr(cost, "CHUNK_FLOPS", 1)
    monkeypatch.setattr(parallel, "available_cores", lambda: workers)
    values, error = fourier_values(reduced(op))
    known = reference(op)
    assert np.abs(values - known).max() <= 2 * error
    assert error <= 1e-11 * known[0]
    assert np.abs(values - once).max() <= 2 * error


@settings(max_examples=80)
@given(geometries.any_case())
def test_fast_accuracy(case: Case) -> None:
    """Within its own error of the truth, wherever Fourier is exact."""
    op = case.operator()
    if fourier_obstacle(op.geometry) is not None:
        assert cs.explain(op).method == "dense"
        return
    values, error = fourier_values(reduced(op), accuracy="fast")
    full, full_error = fourier_values(reduced(op))
    matrix = op.to_dense().detach().numpy()
    slack = oracles.svd_tolerance(matrix)
    known = oracles.singular_values(matrix)
    assert np.abs(values - known).max() <= error + slack
    assert np.abs(full - known).max() <= full_error + slack


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_fast_accuracy_says_what_it_loses(dtype: torch.dtype) -> None:
    """About sqrt(eps) of sigma_1 where a block is singular; near eps where none is."""
    eps = torch.finfo(dtype).eps
    singular = torch.zeros(6, 6, 3, dtype=dtype)
    singular[:, :, 1] = gaussian(0, 6, 1) @ gaussian(1, 1, 6)
    singular[:, :, 2] = singular[:, :, 1]
    regular = torch.zeros_like(singular)
    regular[:, :, 1] = torch.linalg.qr(gaussian(2, 6, 6))[0].to(dtype)
    for weight, least, most in (
        (singular, eps**0.5, 100 * eps**0.5),
        (regular, eps, 2000 * eps),
    ):
        op = cs.ConvOperator(weight, 9, padding=1).circular()
        values, error = fourier_values(reduced(op), accuracy="fast")
        full, full_error = fourier_values(reduced(op))
        assert least * full[0] <= error <= most * full[0]
        assert np.abs(values - full).max() <= error + full_error


def test_unknown_accuracy() -> None:
    with pytest.raises(ValueError, match="accuracy must be one of full, fast; got 'low'"):
        fourier_values(reduced(torus(2, 2, 3, size=4)), accuracy="low")


@pytest.mark.parametrize("accuracy", ["full", "fast"])
def test_single_precision(accuracy: str) -> None:
    """The arithmetic is that of the weight, and so is the error."""
    for dtype in (torch.float32, torch.complex64):
        op = cs.ConvOperator(gaussian(0, 12, 3, 3, 3, dtype=dtype), 8, padding=1)
        op = op.circular()
        values, error = fourier_values(reduced(op), accuracy)
        exact, exact_error = fourier_values(reduced(op.to(dtype=torch.complex128)))
        worst = np.abs(values - exact).max()
        assert 0 < worst <= error + exact_error
        assert error > 10 * exact_error


@pytest.mark.parametrize("name", SIZES)
def test_through_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other LAPACK, which other processors take for larger blocks."""
    shape, size = SIZES[name]
    op = torus(*shape, size=size)
    values, error = fourier_values(reduced(op))
    called = []
    monkeypatch.setattr(fourier, "numpy_is_faster", lambda: True)
    monkeypatch.setattr(fourier, "NUMPY_SIDE", 2)
    original = np.linalg.svd
    monkeypatch.setattr(
        np.linalg, "svd", lambda *a, **k: called.append(1) or original(*a, **k)
    )
    others, _ = fourier_values(reduced(op))
    assert np.abs(values - others).max() <= 2 * error
    assert bool(called) == (name not in ("thin", "thin-transposed", "one-row"))


def test_numpy_is_faster_where_mkl_is_not_at_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    for processor, faster in (("GenuineIntel", False), ("AuthenticAMD", True)):
        monkeypatch.setattr(blocks, "_processor", lambda name=processor: name)
        assert blocks.numpy_is_faster.__wrapped__() is faster
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert blocks.numpy_is_faster.__wrapped__() is False


def test_lapack_failure_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise np.linalg.LinAlgError

    matrices = gaussian(0, 3, 2, 5, 4, dtype=torch.complex128)
    known = block_values(matrices)
    monkeypatch.setattr(np.linalg, "svd", fail)
    found = block_values(matrices, numpy=True)
    assert (found - known).abs().max() <= svd_error(5, 4, float(known.max()), 2**-52)


# -- blocks ---------------------------------------------------------------------------

GRIDS = [(1,), (2,), (7,), (8,), (1, 1), (3, 5), (4, 6), (4, 5), (2, 3, 4)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4], ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_torus_blocks(grid: tuple[int, ...], kernel: int, dtype: torch.dtype) -> None:
    """The symbol but for a factor of modulus 1 per frequency, kernels folded."""
    dim = len(grid)
    weight = gaussian(3, 4, 3, *[kernel] * dim, dtype=dtype)
    index, _ = conjugate_half(grid, everything=True)
    for stride in (1, 2):
        offsets = [np.arange(kernel) - 1] * dim
        symbol = Symbol.of_taps(weight, 2, offsets, [stride] * dim)
        found = TorusBlocks(symbol, grid, dtype).at(index)
        known = symbol.at_grid(index, grid).to(torch.complex128)
        assert found.dtype == torch.complex128
        assert found.shape == known.shape
        overlap = (known.conj() * found).flatten(1).sum(dim=1)
        factor = (overlap / overlap.abs())[:, None, None, None]
        gap = torch.linalg.vector_norm(found - factor * known, dim=(1, 2, 3))
        assert gap.max() <= 4 * symbol_error(weight, EPS[torch.complex128])


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(64, 3), (3, 40), (5, 5), (9, 2)], ids=str)
@pytest.mark.parametrize("condition", [1, 1.5, 1e2, 1e5, 1e9, math.inf], ids=str)
def test_gram_values(
    rows: int, columns: int, condition: float, dtype: torch.dtype
) -> None:
    """The error stated holds for every condition number, at every scale of the rest."""
    small = min(rows, columns)
    for seed, scale in itertools.product(range(4), (1.0, 1e-3)):
        known = [scale * condition ** (-i / (small - 1)) for i in range(small)]
        known = [1.0, *known[1:]]
        matrix = spread_values(seed, rows, columns, known).to(dtype)
        values, error = gram_values(matrix[None])
        made = (rows + columns) * EPS[dtype]  # of the matrix itself, and its rounding
        truth = torch.tensor(known, dtype=torch.float64).sort(descending=True).values
        assert (values[0].double() - truth).abs().max() <= float(error[0]) + made


@pytest.mark.parametrize("dtype", EPS, ids=str)
def test_thin_blocks_are_as_accurate_as_an_svd(dtype: torch.dtype) -> None:
    """From the Gram matrix where that is accurate enough, from an SVD elsewhere."""
    conditions = [1.0, 1.5, 3.0, 30.0, 1e3, 1e6, math.inf]
    known = [[2.0, 1.5, 2.0 / condition] for condition in conditions]
    known = [sorted(values, reverse=True) for values in known]
    matrices = torch.stack(
        [spread_values(i, 64, 3, values) for i, values in enumerate(known)]
    ).to(dtype)
    for some in (matrices, matrices.mH, matrices.reshape(7, 1, 64, 3)):
        found = thin_values(some).reshape(7, 3)
        worst = np.abs(found.double().numpy() - np.array(known)).max()
        assert worst <= svd_error(64, 3, 2.0, EPS[dtype]) + 64 * EPS[dtype]
    values, errors = gram_values(matrices)
    accepted = errors <= svd_error(64, 3, 1.0, EPS[dtype]) * values[:, 0]
    assert accepted.tolist() == [True] * 2 + [False] * 5 or accepted[:2].all()
    assert not accepted[3:].any()


def test_zero_blocks() -> None:
    zero = torch.zeros(4, 9, 2, dtype=torch.complex128)
    values, errors = gram_values(zero)
    assert not values.any()
    assert not errors.any()
    assert not thin_values(zero).any()


# -- memory ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIZES)
def test_bytes_do_not_grow_with_the_grid(name: str) -> None:
    """What is held beside the result is a budget and the weight, at every size."""
    shape, _ = SIZES[name]
    dim = len(shape) - 2
    small, large = (
        fourier_bytes(reduced(torus(*shape, size=[size] * dim))) for size in (64, 128)
    )
    budget = cost.CACHE_BYTES * cost.available_cores()
    entries = math.prod(shape)
    block = 16 * shape[0] * shape[1]
    for held in (small, large):
        assert held <= 4 * max(budget, block * cost.available_cores()) + 64 * entries
