"""Determinants, against dense ones of matrices made by loops, and closed forms."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import assume, given

import convspec as cs
from convspec.inverse import log_abs_det as module
from convspec.inverse.triangular import diagonal_blocks
from tests.cases import Case
from tests.geometries import any_case, asymmetric, circulants
from tests.inverse.test_solve import SQUARE, random

EVERY = st.one_of(any_case(), asymmetric(), *[circulants(dim) for dim in (1, 2, 3)])


@given(EVERY)
def test_every_square_geometry(case: Case) -> None:
    op, matrix = case.operator(), case.matrix()
    assume(matrix.shape[0] == matrix.shape[1])
    agrees(cs.log_abs_det(op), matrix)


@given(EVERY)
def test_every_gram_matrix(case: Case) -> None:
    op, matrix = case.operator(), case.matrix()
    assume(matrix.size <= 10_000)
    agrees(cs.log_abs_det(op.H @ op), matrix.conj().T @ matrix)


def agrees(found: torch.Tensor, matrix: np.ndarray) -> None:
    s = np.linalg.svd(matrix, compute_uv=False)
    if s[-1] <= 1e-13 * s[0]:
        # singular but for rounding: the determinant is that of a matrix nearby
        most = np.log(s + 1e-13 * s[0] + 1e-300).sum() + 1
        assert float(found) <= most
        return
    exact = np.linalg.slogdet(matrix)[1]
    allowed = 1e-14 * len(s) * s[0] / s[-1] + 1e-12 * abs(exact)
    assert abs(float(found) - exact) <= allowed


@pytest.mark.parametrize(("weight", "size", "given"), SQUARE.values(), ids=SQUARE)
def test_named_geometries(weight: torch.Tensor, size: Any, given: dict[str, Any]) -> None:
    op = cs.ConvOperator(weight, size, **given)
    op = op.to(torch.complex128 if op.dtype.is_complex else torch.float64)
    agrees(cs.log_abs_det(op), op.to_dense().numpy())


@pytest.mark.parametrize(("weight", "size", "given"), SQUARE.values(), ids=SQUARE)
def test_gradients(weight: torch.Tensor, size: Any, given: dict[str, Any]) -> None:
    wide = torch.complex128 if weight.is_complex() else torch.float64
    weight = weight.to(wide).clone().requires_grad_()

    def volume(weight: torch.Tensor) -> torch.Tensor:
        return cs.log_abs_det(cs.ConvOperator(weight, size, **given))

    assert torch.autograd.gradcheck(volume, weight, fast_mode=True)


def test_a_triangle_whose_values_are_beyond_double_precision() -> None:
    # the report's flow: determinant 1, condition number 3.7e19
    op = cs.ConvOperator(np.array([[[2.0, 1.0]]]), 64, padding=((1, 0),))
    assert float(cs.log_abs_det(op)) == 0.0
    assert float(cs.log_abs_det(op.T)) == 0.0
    with mpmath.workdps(60):
        matrix = mpmath.matrix(op.to_dense().tolist())
        assert mpmath.det(matrix) == 1
        smallest = mpmath.svd_r(matrix, compute_uv=False)[63]
    assert abs(float(smallest) / 8.13151629364e-20 - 1) < 1e-11


def masked(kind: str, channels: int = 3) -> torch.Tensor:
    """A kernel that looks at places before its own, and of its own at lower channels."""
    weight = 0.1 * random(channels, channels, 3, 3, seed=5)  # well conditioned
    weight[:, :, 1, 2] = weight[:, :, 2] = 0
    weight[:, :, 1, 1] += torch.eye(channels)
    if kind == "emerging":
        weight[:, :, 1, 1] = weight[:, :, 1, 1].tril()
    return weight


def test_masked_kernels_are_powers_of_their_middle() -> None:
    for kind in ("centre", "emerging"):
        weight = masked(kind)
        op = cs.ConvOperator(weight, (9, 11), padding=1)
        found = float(cs.log_abs_det(op))
        middle = float(torch.linalg.slogdet(weight[:, :, 1, 1])[1])
        assert math.isclose(found, 99 * middle, rel_tol=1e-12)
        assert math.isclose(found, np.linalg.slogdet(op.to_dense())[1], rel_tol=1e-9)
    # at a size where no matrix is formed
    large = cs.ConvOperator(masked("emerging"), (512, 512), padding=1)
    diagonal = masked("emerging")[:, :, 1, 1].diagonal().abs().log().sum()
    assert math.isclose(
        float(cs.log_abs_det(large)), 512**2 * float(diagonal), rel_tol=1e-12
    )


def test_a_triangle_along_one_axis_of_a_torus() -> None:
    weight = random(2, 2, 2, 3, seed=6)
    op = cs.ConvOperator(
        weight, (6, 5), padding=((1, 0), (1, 1)), padding_mode=("zeros", "circular")
    )
    (block,) = diagonal_blocks(op)
    assert block.times == 6
    agrees(cs.log_abs_det(op), op.to_dense().numpy())


def test_a_triangle_of_channels() -> None:
    weight = random(4, 4, 3, seed=7)
    weight[:2, 2:] = 0
    order = [2, 0, 3, 1]
    op = cs.ConvOperator(weight[order], 7, padding=1)
    blocks = list(diagonal_blocks(op))
    assert [block.op.groups for block in blocks if block.op] == [2]
    agrees(cs.log_abs_det(op), op.to_dense().numpy())
    weight[:, 0] = 0
    assert float(cs.log_abs_det(cs.ConvOperator(weight, 7, padding=1))) == -math.inf


SINGULAR: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "shift": ([[[1.0, 0.0, 0.0]]], 5, {"padding": 1}),
    "zeros": ([[[0.0]]], 4, {}),
    "unread pixels": (torch.ones(4, 1, 1).tolist(), 8, {"stride": 4}),
    "equal channels": (torch.ones(2, 2, 1).tolist(), 3, {}),
    "a sum of zero": (
        [[[1.0, -1.0]]],
        4,
        {"padding": ((1, 0),), "padding_mode": "circular"},
    ),
}


@pytest.mark.parametrize(("weight", "size", "given"), SINGULAR.values(), ids=SINGULAR)
def test_singular(weight: Any, size: Any, given: dict[str, Any]) -> None:
    op = cs.ConvOperator(torch.tensor(weight), size, **given)
    assert float(cs.log_abs_det(op)) == -math.inf


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scales_whose_determinants_are_beyond_double_precision(scale: float) -> None:
    op = cs.ConvOperator(random(2, 2, 3, seed=8), 9, padding=1)
    scaled = cs.log_abs_det(op.with_weight(op.weight * scale))
    assert math.isclose(
        float(scaled), float(cs.log_abs_det(op)) + 18 * math.log(scale), rel_tol=1e-13
    )


def test_sparse_factors_agree_with_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    laplace = torch.tensor([[0.0, -1, 0], [-1, 4.0, -1], [0, -1, 0]])[None, None]
    op = cs.ConvOperator(laplace, (40, 30), padding=1)
    i, j = np.arange(1, 41)[:, None], np.arange(1, 31)
    exact = np.log(
        4 * np.sin(np.pi * i / 82) ** 2 + 4 * np.sin(np.pi * j / 62) ** 2
    ).sum()
    assert math.isclose(float(cs.log_abs_det(op)), exact, rel_tol=1e-13)
    monkeypatch.setattr(module, "factor_flops", lambda *_: {"sparse": 1.0})
    assert math.isclose(float(cs.log_abs_det(op)), exact, rel_tol=1e-13)
    monkeypatch.setattr(module, "factor_flops", lambda *_: {"blocks": 1.0})
    assert math.isclose(float(cs.log_abs_det(op)), exact, rel_tol=1e-13)


def test_words() -> None:
    with pytest.raises(cs.NotApplicable, match=r"4 x 6; spectrum\(op\).log_volume"):
        cs.log_abs_det(cs.ConvOperator(torch.ones(1, 1, 3), 6))
    large = cs.ConvOperator(random(8, 8, 3, 3), 64, padding=1)
    with pytest.raises(cs.TooLargeError, match="must fit max_bytes and some minutes"):
        cs.log_abs_det(large, max_bytes="1 MiB")
    with pytest.raises(cs.TooLargeError, match="where gradients are wanted"):
        cs.log_abs_det(large.with_weight(large.weight.requires_grad_()))
    with pytest.raises(TypeError, match="log_abs_det takes a ConvOperator"):
        cs.log_abs_det(torch.nn.Conv1d(1, 1, 1))  # type: ignore[arg-type]
