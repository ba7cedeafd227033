"""Values and derivatives of curved functions on intervals, beside dense samples."""

from __future__ import annotations

import pytest
import torch

from convspec.network.curves import CURVES
from convspec.network.ranges import Range
from tests.gaussian import gaussian

# where each is defined, and orders of powers
PLACES: dict[str, tuple[str, float, float, float]] = {
    "exp": ("exp", 0.0, -3.0, 3.0),
    "expm1": ("expm1", 0.0, -3.0, 3.0),
    "log": ("log", 0.0, 0.01, 5.0),
    "log1p": ("log1p", 0.0, -0.99, 5.0),
    "sqrt": ("sqrt", 0.0, 0.01, 5.0),
    "rsqrt": ("rsqrt", 0.0, 0.01, 5.0),
    "reciprocal above 0": ("reciprocal", 0.0, 0.01, 5.0),
    "reciprocal below 0": ("reciprocal", 0.0, -5.0, -0.01),
    "square": ("square", 0.0, -3.0, 3.0),
    "power 2": ("pow", 2.0, -3.0, 3.0),
    "power 3": ("pow", 3.0, -3.0, 3.0),
    "power 7": ("pow", 7.0, -2.0, 2.0),
    "power 1/3": ("root", 1 / 3, 0.01, 5.0),
    "power 5/2": ("root", 2.5, 0.01, 5.0),
    "power -1/2": ("root", -0.5, 0.01, 5.0),
    "power -1 below 0": ("inverse", -1.0, -5.0, -0.01),
    "power -2 below 0": ("inverse", -2.0, -5.0, -0.01),
    "power -3 above 0": ("inverse", -3.0, 0.01, 5.0),
}


@pytest.mark.parametrize("case", PLACES)
def test_ranges_and_slopes_hold_and_are_attained(case: str) -> None:
    """On 50 intervals: samples of both lie between the ends, and reach them."""
    name, order, least, most = PLACES[case]
    curve = CURVES[name]
    shares = torch.sort(gaussian(1, 50, 2).abs().fmod(1)).values
    low, high = (least + (most - least) * shares).unbind(1)
    line = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    x = (low + (high - low) * line).clamp(low, high).requires_grad_()
    value = curve.value(x, order)
    (slope,) = torch.autograd.grad(value.sum(), x)
    given = Range(low, high)
    for found, seen in (
        (curve.range(given, order), value.detach()),
        (curve.slopes(given, order), slope),
    ):
        assert bool((found.low <= seen).all() & (seen <= found.high).all())
        room = 1e-4 * (seen.abs().amax(0) + 1)
        assert bool((seen.amin(0) - found.low <= room).all())
        assert bool((found.high - seen.amax(0) <= room).all())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("log", 0.0, 1.0),
        ("sqrt", -1.0, 1.0),
        ("rsqrt", 0.0, 1.0),
        ("log1p", -1.0, 0.0),
        ("reciprocal", -1.0, 1.0),
        ("reciprocal", 0.0, 1.0),
        ("reciprocal", -1.0, -0.0),
        ("inverse", -1.0, 0.0),
        ("root", 0.0, 1.0),
    ],
)
def test_where_they_are_not_defined(name: str, low: float, high: float) -> None:
    ends = torch.tensor([low, high], dtype=torch.float64)
    given = Range(ends[:1], ends[1:])
    assert not CURVES[name].range(given, -1.0).is_finite
    assert not CURVES[name].slopes(given, -1.0).is_finite
