"""Penalties against singular values of matrices made by loops, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from torch import Tensor

import convspec as cs
from tests.cases import Case
from tests.geometries import any_case, asymmetric, circulants

EVERY = st.one_of(any_case(), asymmetric(), *[circulants(dim) for dim in (1, 2, 3)])
PENALTIES: dict[str, Callable[[cs.ConvOperator], Tensor]] = {
    "orthogonality": cs.penalties.orthogonality,
    "spread": cs.penalties.spread,
    "norm": lambda op: cs.penalties.norm(op, 0.5),
    "condition": cs.penalties.condition,
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(EVERY)
def test_moments_of_every_geometry(case: Case) -> None:
    op = case.operator()
    squares = np.linalg.svd(case.matrix(), compute_uv=False) ** 2
    allowed = 1e-11 * max(1.0, float((squares**2).mean()))
    found = float(cs.penalties.orthogonality(op).detach())
    assert abs(found - ((squares - 1) ** 2).mean()) <= allowed
    assume(squares.any())
    found = float(cs.penalties.spread(op).detach())
    assert abs(found - squares.var() / squares.mean() ** 2) <= 1e-10 * len(squares)


@given(EVERY)
def test_extremes_of_every_geometry(case: Case) -> None:
    op, matrix = case.operator(), case.matrix()
    values = np.linalg.svd(matrix, compute_uv=False)
    found = float(cs.penalties.norm(op, 0.1).detach())
    assert math.isclose(
        found, max(0.0, values[0] - 0.1) ** 2, rel_tol=1e-6, abs_tol=1e-12
    )
    assume(values[-1] > 1e-6 * values[0])
    found = float(cs.penalties.condition(op).detach())
    assert math.isclose(found, math.log(values[0] / values[-1]), abs_tol=1e-6)


GEOMETRIES = {
    "zeros": {"padding": 1},
    "stride": {"stride": 2, "padding": 1},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "panorama": {"padding": 1, "padding_mode": ("zeros", "circular")},
    "groups": {"padding": 1, "groups": 2},
    "transposed": {"stride": 2, "transposed": True},
}


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("arguments", GEOMETRIES.values(), ids=GEOMETRIES)
def test_gradients(
    penalty: Callable[[cs.ConvOperator], Tensor], arguments: dict[str, object]
) -> None:
    groups = arguments.get("groups", 1)
    assert isinstance(groups, int)
    weight = torch.randn(4, 4 // groups, 3, 3, generator=seeded(1), dtype=torch.float64)
    weight.requires_grad_()

    def value(weight: Tensor) -> Tensor:
        return penalty(cs.ConvOperator(weight, (4, 5), **arguments))  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(value, weight, eps=1e-5, atol=1e-4, fast_mode=True)


def test_complex_weights_and_single_precision() -> None:
    weight = torch.randn(2, 2, 3, dtype=torch.complex64, generator=seeded(2))
    for dtype in (torch.complex64, torch.complex128):
        op = cs.ConvOperator(weight.to(dtype), 6, padding=1)
        squares = np.linalg.svd(op.to_dense().numpy(), compute_uv=False) ** 2
        found = cs.penalties.orthogonality(op)
        assert found.dtype == dtype.to_real()
        assert math.isclose(found, ((squares - 1) ** 2).mean(), rel_tol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_they_lead_to_what_they_promise(name: str) -> None:
    weight = torch.randn(3, 3, 3, generator=seeded(3), dtype=torch.float64) / 2
    weight.requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.01)

    def op() -> cs.ConvOperator:
        return cs.ConvOperator(weight, 8, padding=1, padding_mode="circular")

    first = float(PENALTIES[name](op()).detach())
    for _ in range(60):
        optimizer.zero_grad()
        PENALTIES[name](op()).backward()
        optimizer.step()
    assert float(PENALTIES[name](op()).detach()) < first / 2


def test_words() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 6)
    with pytest.raises(ValueError, match="bound must be at least 0"):
        cs.penalties.norm(op, -1.0)
    for penalty in PENALTIES.values():
        with pytest.raises(TypeError, match=r"penalties\.\w+ takes a ConvOperator"):
            penalty(op @ op.T)  # type: ignore[arg-type]
