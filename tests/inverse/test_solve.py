"""Equations and least squares, against dense solutions of matrices made by loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.inverse.iterative import (
    least_squares_by_products,
    wave_preconditioner,
)

EPS = float(np.finfo(np.float64).eps)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(
    *shape: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=seeded(seed))


def kernel(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random, with a middle tap that keeps it well conditioned."""
    weight = random(*shape, seed=1, dtype=dtype) / 6
    middle = tuple(length // 2 for length in shape[2:])
    weight.flatten(2)[:, :, np.ravel_multi_index(middle, shape[2:])] += torch.eye(
        *shape[:2], dtype=dtype
    )
    return weight


SQUARE: dict[str, tuple[torch.Tensor, Any, dict[str, Any]]] = {
    "zeros": (kernel(3, 3, 3, 3), (5, 6), {"padding": 1}),
    "torus": (kernel(3, 3, 3, 3), (5, 6), {"padding": 1, "padding_mode": "circular"}),
    "panorama": (
        kernel(2, 2, 3, 3),
        (5, 6),
        {"padding": 1, "padding_mode": ("zeros", "circular")},
    ),
    "symmetric": (kernel(2, 2, 5), 9, {"padding": 2, "padding_mode": "symmetric"}),
    "reflect": (kernel(2, 2, 3, 3), (4, 4), {"padding": 1, "padding_mode": "reflect"}),
    "groups": (kernel(4, 2, 3), 8, {"padding": 1, "groups": 2}),
    "dilated": (kernel(2, 2, 3), 11, {"padding": 3, "dilation": 3}),
    "patches": (random(12, 3, 2, 2), (6, 4), {"stride": 2}),
    "transposed": (random(4, 1, 4), 6, {"stride": 4, "transposed": True}),
    "complex": (kernel(2, 2, 3, dtype=torch.complex128), 7, {"padding": 1}),
    "volume": (kernel(1, 1, 3, 3, 3), (3, 4, 3), {"padding": 1}),
    "separable": (
        torch.outer(torch.tensor([0.2, 1, 0.3]), torch.tensor([0.1, 1, 0.2]))[None, None],
        (9, 8),
        {"padding": 1},
    ),
    "causal": (kernel(3, 3, 2), 12, {"padding": ((1, 0),)}),
}


@pytest.mark.parametrize("method", ["auto", "direct", "krylov"])
@pytest.mark.parametrize(("weight", "size", "given"), SQUARE.values(), ids=SQUARE)
def test_solves(
    weight: torch.Tensor, size: Any, given: dict[str, Any], method: str
) -> None:
    op = cs.ConvOperator(weight, size, **given)
    op = op.to(torch.complex128 if weight.is_complex() else torch.float64)
    matrix = op.to_dense().numpy()
    y = random(2, 3, *op.output_shape, seed=2, dtype=op.dtype)
    x = op.solve(y, method=method, rtol=1e-13)
    exact = np.linalg.solve(matrix, y.reshape(6, -1).numpy().T).T
    allowed = np.linalg.cond(matrix) * (1e-12 if method == "krylov" else 1e-14)
    assert x.shape == (2, 3, *op.input_shape)
    off = x.reshape(6, -1).numpy() - exact
    assert np.linalg.norm(off) <= allowed * np.linalg.norm(exact)


@pytest.mark.parametrize(("weight", "size", "given"), SQUARE.values(), ids=SQUARE)
def test_gradients_of_both(
    weight: torch.Tensor, size: Any, given: dict[str, Any]
) -> None:
    weight = weight.to(torch.complex128 if weight.is_complex() else torch.float64)
    y = random(*cs.ConvOperator(weight, size, **given).output_shape, dtype=weight.dtype)

    def solve(weight: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cs.ConvOperator(weight, size, **given).solve(y)

    given_both = weight.clone().requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(solve, given_both, fast_mode=True)


def test_exponentially_small_values_are_no_hindrance() -> None:
    # determinant 1, condition number 3.7e19: substitution is exact all the same
    op = cs.ConvOperator(np.array([[[2.0, 1.0]]]), 64, padding=((1, 0),))
    x = torch.arange(1.0, 65.0, dtype=torch.float64)[None]
    y = op.apply(x)
    solved = op.solve(y)
    assert torch.equal(op.apply(solved), y)


def test_sparse_factors_of_an_image() -> None:
    laplace = torch.tensor([[0.0, -1, 0], [-1, 4.1, -1], [0, -1, 0]])[None, None]
    op = cs.ConvOperator(laplace.double(), (60, 50), padding=1)
    x = random(1, 60, 50)
    assert torch.allclose(op.solve(op.apply(x)), x, rtol=0, atol=1e-12)


def test_products_alone_say_when_they_were_too_few() -> None:
    op = cs.ConvOperator(kernel(2, 2, 3, 3), (40, 40), padding=1)
    x = random(2, 40, 40)
    with pytest.raises(cs.NotConverged) as caught:
        op.solve(op.apply(x), method="krylov", max_products=2)
    assert caught.value.best.shape == x.shape  # type: ignore[attr-defined]
    solved = op.solve(op.apply(x), method="krylov")
    assert torch.allclose(solved, x, rtol=0, atol=1e-8)


@pytest.mark.parametrize("damp", [0.1, 0.01])
def test_waves_precondition(damp: float) -> None:
    box = torch.ones(1, 1, 5, 5, dtype=torch.float64) / 25
    op = cs.ConvOperator(box, (64, 64), padding=2)
    y = op.apply(random(1, 1, 64, 64))
    waves = wave_preconditioner(op, damp, 2**31, 1e10)
    plain, fast = (
        least_squares_by_products(op, y, damp, 1e-10, 20_000, by) for by in (None, waves)
    )
    assert torch.allclose(plain.images, fast.images, rtol=0, atol=1e-6)
    assert fast.products < 0.6 * plain.products
    assert wave_preconditioner(op.T, damp, 2**31, 1e10) is None
    assert wave_preconditioner(op, damp, 2**10, 1e10) is None


def test_composed_maps() -> None:
    blur = cs.ConvOperator(torch.tensor([[[0.2, 1.0, 0.3]]]), 8, padding=1)
    both = cs.identity(blur.input_shape) + blur @ blur
    y = random(1, 8)
    exact = np.linalg.solve(both.to_dense().double().numpy(), y[0].numpy())
    for method in ("direct", "krylov"):
        solved = both.solve(y, method=method)[0]
        assert np.allclose(solved, exact, rtol=0, atol=1e-6)


def test_singles_are_solved_in_double_precision() -> None:
    op = cs.ConvOperator(kernel(2, 2, 3).float(), 9, padding=1)
    y = random(2, 9).float()
    solved = op.solve(y)
    assert solved.dtype == torch.float32
    assert torch.equal(solved, op.to(torch.float64).solve(y.double()).float())
    assert op.solve(y[None][:0]).shape == (0, 2, 9)


SINGULAR = {
    "a zero of the symbol": (
        [[[1.0, 1.0]]],
        6,
        {"padding": ((1, 0),), "padding_mode": "circular"},
    ),
    "nothing read": ([[[0.0, 0.0, 1.0]]], 2, {"padding": 2, "dilation": 2}),
    "zeros": ([[[0.0]]], 4, {}),
    "patches": ([[[1.0, 1.0]], [[2.0, 2.0]]], 4, {"stride": 2}),
    "shift": ([[[1.0, 0.0, 0.0]]], 5, {"padding": 1}),
}


@pytest.mark.parametrize(("weight", "size", "given"), SINGULAR.values(), ids=SINGULAR)
def test_singular_maps_are_refused(
    weight: list[Any], size: Any, given: dict[str, Any]
) -> None:
    op = cs.ConvOperator(torch.tensor(weight, dtype=torch.float64), size, **given)
    y = random(*op.output_shape)
    with pytest.raises((cs.NotApplicable, cs.NotConverged), match="lstsq"):
        op.solve(y)
    assert op.lstsq(y).solution.isfinite().all()


def test_maps_that_are_not_square_are_refused() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 6)
    with pytest.raises(cs.NotApplicable, match=r"4 x 6; use lstsq\(y\)"):
        op.solve(torch.ones(1, 4))
    with pytest.raises(cs.GeometryError, match=r"y must have shape \(..., 1, 4\)"):
        op.lstsq(torch.ones(1, 6))
    with pytest.raises(TypeError, match=r"y must be a torch.Tensor"):
        op.lstsq(np.ones((1, 4)))  # type: ignore[arg-type]


def test_factors_that_do_not_fit_are_refused() -> None:
    op = cs.ConvOperator(kernel(4, 4, 3, 3), (40, 40), padding=1)
    y = random(4, 40, 40)
    for call in (op.solve, op.lstsq):
        with pytest.raises(cs.TooLargeError, match="krylov"):
            call(y, method="direct", max_bytes="1 MiB")


LEAST: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "wide": ((1, 3, 3, 3), (5, 6), {"padding": 1}),
    "tall": ((4, 1, 3, 3), (5, 6), {"padding": 1}),
    "strided": ((3, 2, 3), 12, {"stride": 2, "padding": 1, "padding_mode": "circular"}),
    "not all pixels": ((2, 2, 1, 1), (6, 6), {"stride": 2}),
}


@pytest.mark.parametrize("method", ["direct", "krylov"])
@pytest.mark.parametrize("damp", [0.0, 0.5])
@pytest.mark.parametrize(("shape", "size", "given"), LEAST.values(), ids=LEAST)
def test_least_squares(
    shape: tuple[int, ...], size: Any, given: dict[str, Any], damp: float, method: str
) -> None:
    op = cs.ConvOperator(random(*shape, seed=3), size, **given)
    matrix, n = op.to_dense().numpy(), op.shape[1]
    y = random(2, *op.output_shape, seed=4)
    found = op.lstsq(y, damp=damp, method=method, rtol=1e-13)
    rows = np.vstack([matrix, damp * np.eye(n)]) if damp else matrix
    right = np.zeros((len(rows), 2))
    right[: op.shape[0]] = y.flatten(1).numpy().T
    exact, *_ = np.linalg.lstsq(rows, right, rcond=None)
    solution = found.solution.flatten(1).numpy().T
    assert np.allclose(solution, exact, rtol=0, atol=1e-10 * abs(exact).max())
    left = np.linalg.norm(matrix @ solution - right[: op.shape[0]], axis=0)
    assert np.allclose(found.residual, left, rtol=1e-10, atol=1e-12)
    assert float(found.gradient.max()) < 1e-10
    assert found.method == method
    assert found.rank == (None if method == "krylov" else np.linalg.matrix_rank(matrix))
