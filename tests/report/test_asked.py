"""Columns on request: ranks at a tolerance, and for a share of the energy."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import convspec as cs
from convspec.quantity.enclosure import Enclosure
from convspec.report.terminal import fitting
from convspec.spectrum.envelope.energy import energy_rank
from tests.gaussian import gaussian

ASKED = {"rank_rtol": (0.5, 1e-2), "energy": 0.9}
NAMES = ("rank_rtol_0.5", "rank_rtol_0.01", "energy_rank_0.9")


def true_energy_rank(values: np.ndarray, share: float) -> int:
    """Counted in order, in rational numbers."""
    squares = [Fraction(float(v)) ** 2 for v in values]
    goal = Fraction(share) * sum(squares)
    return next(r for r in range(len(squares) + 1) if sum(squares[:r]) >= goal)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.just(0.0) | st.floats(1e-100, 10), min_size=1, max_size=12),
    st.lists(st.floats(0, 0.5), min_size=12, max_size=12),
    st.floats(0, 1),
)
def test_bounds_on_values_bound_the_rank(
    values: list[float], wider: list[float], share: float
) -> None:
    exact = np.sort(values)[::-1]
    width = np.array(wider[: len(exact)])
    lower = np.maximum.accumulate((exact * (1 - width))[::-1])[::-1]
    upper = np.minimum.accumulate(exact * (1 + width) + width)
    norm = math.sqrt(math.fsum(exact**2))
    ends = Enclosure(norm * (1 - 1e-15), norm * (1 + 1e-15))
    found = energy_rank(lower.clip(max=exact), upper.clip(min=exact), ends, share)
    assert found.lower <= true_energy_rank(exact, share) <= found.upper


@pytest.mark.parametrize("scale", [1e-200, 1e150])
def test_shares_do_not_depend_on_the_scale(scale: float) -> None:
    values = np.array([3.0, 2.0, 1.0]) * scale
    norm = math.sqrt(14) * scale
    ends = Enclosure(norm * (1 - 1e-15), norm * (1 + 1e-15))
    assert tuple(energy_rank(values, values, ends, 0.9)) == (2, 2)
    infinite = Enclosure(0.0, math.inf)
    assert tuple(energy_rank(values, values, infinite, 0.9)) == (0, 3)


def test_a_spectrum_knows_its_energy_ranks() -> None:
    laplacian = cs.ConvOperator(gaussian(0, 2, 2, 3), 9, padding=1)
    spec = cs.spectrum(laplacian)
    for share in (0.0, 0.3, 0.9, 0.999):
        assert spec.energy_rank(share) == true_energy_rank(spec.values, share)
    assert spec.energy_rank(1.0) == len(spec.values)
    with pytest.raises(ValueError, match=r"share must be from 0 to 1; got 1\.5"):
        spec.energy_rank(1.5)


@pytest.mark.parametrize("limits", [{}, {"max_flops": 0.0}], ids=["exact", "bounds"])
def test_columns_hold_what_was_asked_for(limits: dict[str, Any]) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    report = cs.analyze(layer, (3, 9, 9), **ASKED, **limits)
    (row,) = report
    values = np.linalg.svd(row.operator.to_dense().detach().numpy(), compute_uv=False)
    truth = (
        int((values > 0.5 * values[0]).sum()),
        int((values > 1e-2 * values[0]).sum()),
        true_energy_rank(values, 0.9),
    )
    found = row.to_dict()
    for name, number in zip(NAMES, truth, strict=True):
        assert found[f"{name}_lower"] <= number <= found[f"{name}_upper"]
        assert found[f"{name}_kind"] == ("enclosure" if limits else "exact")
        assert name in row.quantities
    text = repr(report)
    for heading in ("rank at 0.5", "rank at 0.01", "rank for 90 %"):
        assert heading in text
    shown = [column.name for column in fitting(report.layers, 40)]
    assert set(NAMES) <= set(shown)
    assert r"\bottomrule" in report.to_latex(columns=["layer", *NAMES])
    assert "rank_rtol_0.5" not in cs.analyze(layer, (3, 9, 9))[0].to_dict()


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, "half", (0.5, 2), True])
@pytest.mark.parametrize("name", ["rank_rtol", "energy"])
def test_levels_are_numbers_from_0_to_1(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number from 0 to 1"):
        cs.analyze(nn.Conv1d(1, 1, 3), (1, 9), **{name: value})
