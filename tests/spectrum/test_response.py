"""Singular values of the symbol over frequency, against the sum over the taps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from tests.gaussian import gaussian

CASES: dict[str, tuple[torch.Tensor, int, dict[str, Any]]] = {
    "1d": (gaussian(8, 2, 3, 3), 9, {"padding": 1}),
    "2d": (gaussian(11, 3, 2, 3, 3), 7, {"padding": 1}),
    "3d": (gaussian(10, 2, 2, 2, 2, 2), 4, {}),
    "groups": (gaussian(11, 4, 1, 3, 3), 7, {"groups": 2}),
    "strided": (gaussian(10, 2, 2, 3, 3), 8, {"stride": 2, "padding": 1}),
    "dilated": (gaussian(10, 2, 2, 3, 3), 9, {"dilation": 2}),
    "dilated-strided": (gaussian(7, 2, 2, 3), 20, {"dilation": 3, "stride": 2}),
    "both-share-a-factor": (gaussian(7, 2, 2, 3), 20, {"dilation": 6, "stride": 4}),
    "transposed": (gaussian(11, 2, 3, 3, 3), 5, {"transposed": True, "stride": 2}),
    "complex": (gaussian(8, 2, 2, 4, dtype=torch.complex128), 8, {}),
    "complex-transposed": (
        gaussian(9, 2, 3, 4, dtype=torch.complex128),
        8,
        {"transposed": True, "dilation": 2},
    ),
}


def operator(name: str) -> cs.ConvOperator:
    weight, size, options = CASES[name]
    return cs.ConvOperator(weight, size, **options)


@pytest.mark.parametrize("name", CASES)
def test_samples_are_those_of_the_symbol(name: str) -> None:
    op = operator(name)
    found = cs.frequency_response(op, 5 if op.weight.ndim < 5 else 3)
    grids = np.meshgrid(*found.frequencies, indexing="ij")
    points = np.stack([grid.reshape(-1) for grid in grids], axis=1)
    blocks = op.symbol().at(points)
    values = torch.linalg.svdvals(blocks).flatten(1).sort(descending=True).values
    expected = values.numpy().reshape(found.values.shape)
    assert np.allclose(found.values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_frequencies_ascend_from_minus_pi(count: int) -> None:
    (found,) = cs.frequency_response(operator("1d"), count).frequencies
    expected = [2 * math.pi * (j - count // 2) / count for j in range(count)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", CASES)
def test_worst_case_is_found_at_its_place(name: str) -> None:
    """sigma_1 of the operator's own symbol attains the certified lower end there."""
    op = operator(name)
    worst = cs.worst_case_norm(op)
    found = cs.frequency_response(op, 4 if op.weight.ndim < 5 else 2)
    for near in (None, found.maximiser()):
        place = found.place(worst, near)
        assert all(-math.pi <= w < math.pi for w in place)
        attained = torch.linalg.svdvals(op.symbol().at([place])).max()
        # the place is rounded, and sigma_1 flat around it
        assert float(attained) == pytest.approx(worst.lower, rel=1e-6)
    assert found.maximum() <= worst.upper


def test_place_takes_the_nearer_of_two() -> None:
    op = cs.ConvOperator(gaussian(13, 4, 4, 5), 64, padding=2)
    found = cs.frequency_response(op)
    worst = cs.worst_case_norm(op)
    (there,) = found.place(worst)
    assert found.place(worst, (-there,)) == pytest.approx((-there,))
    assert found.place(worst, (there,)) == pytest.approx((there,))


def test_maximiser() -> None:
    laplacian = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 9, padding=1)
    found = cs.frequency_response(laplacian, 8)
    assert found.maximiser() == (-math.pi,)
    assert found.maximum() == pytest.approx(4.0, rel=1e-14)
    smoothing = cs.ConvOperator(torch.ones(1, 1, 3, 3), 9, padding=1)
    assert cs.frequency_response(smoothing).maximiser() == (0.0, 0.0)


@pytest.mark.parametrize(("dim", "grid"), [(1, (512,)), (2, (64, 64)), (3, (24,) * 3)])
def test_default_grids(dim: int, grid: tuple[int, ...]) -> None:
    op = cs.ConvOperator(torch.ones(1, 1, *[2] * dim), 4)
    assert cs.frequency_response(op).values.shape == (*grid, 1)


def test_one_matrix_is_decomposed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pointwise layer does not depend on frequency."""
    calls = []
    svd = torch.linalg.svdvals

    def counted(blocks: torch.Tensor) -> torch.Tensor:
        calls.append(blocks.shape)
        return svd(blocks)

    monkeypatch.setattr(torch.linalg, "svdvals", counted)
    found = cs.frequency_response(cs.ConvOperator(gaussian(11, 5, 4, 1, 1), 8))
    assert found.values.shape == (64, 64, 4)
    assert [shape[0] for shape in calls] == [1]
    assert np.ptp(found.values, axis=(0, 1)).max() == 0


def test_gradients_are_left_alone() -> None:
    weight = gaussian(7, 2, 2, 3).requires_grad_()
    cs.frequency_response(cs.ConvOperator(weight, 8), 4)
    assert weight.grad is None


def test_refusals() -> None:
    with pytest.raises(cs.GeometryError, match="grid"):
        cs.frequency_response(operator("2d"), (4, 4, 4))
    with pytest.raises(cs.GeometryError, match="grid"):
        cs.frequency_response(operator("2d"), 0)
    with pytest.raises(cs.TooLargeError, match="take a smaller grid"):
        cs.frequency_response(operator("2d"), max_bytes=1000)
    line = cs.worst_case_norm(operator("1d"))
    with pytest.raises(ValueError, match="must have 2 frequencies"):
        cs.frequency_response(operator("2d"), 4).place(line)


def test_repr() -> None:
    found = cs.frequency_response(cs.ConvOperator(torch.ones(1, 1, 3), 9), 8)
    assert repr(found) == (
        "<FrequencyResponse at 8 frequencies: 1 singular values, the largest 3>"
    )
