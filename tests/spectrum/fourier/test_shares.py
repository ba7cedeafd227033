"""Frequencies in shares: all of them, once, and the spectrum that they are one of."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import mpmath
import numpy as np
import pytest

import convspec as cs
from convspec.spectrum.fourier import cost
from convspec.spectrum.fourier.shares import FourierShares, ends_of_shares
from convspec.spectrum.spectrum import spectrum_of_shares
from tests.gaussian import gaussian
from tests.rounding.test_errors import DIGITS, small_cases, truth

LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "circular": ((4, 3, 3, 3), (8, 9), {"padding": 1, "padding_mode": "circular"}),
    "stride": (
        (4, 3, 3, 3),
        (8, 6),
        {"padding": 1, "padding_mode": "circular", "stride": 2},
    ),
    "groups": (
        (4, 2, 3, 3),
        (8, 9),
        {"padding": 1, "padding_mode": "circular", "groups": 2},
    ),
    "thin": ((1, 5, 3, 3), (8, 9), {"padding": 1, "padding_mode": "circular"}),
    "line": ((3, 3, 5), (32,), {"padding": 2, "padding_mode": "circular"}),
    "large": ((4, 3, 3, 3), (8, 9), {"padding": 1, "padding_mode": "circular"}),
}


def layer(name: str) -> cs.ConvOperator:
    shape, size, others = LAYERS[name]
    weight = gaussian(1, *shape) * (2.0**300 if name == "large" else 1.0)
    return cs.ConvOperator(weight, size, **others)


@pytest.mark.parametrize("name", LAYERS)
def test_the_spectrum_is_the_same_in_shares(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = layer(name)
    whole = cs.spectrum(op, method="fourier")
    monkeypatch.setattr(cost, "SHARE_FLOPS", 500.0)
    shares = FourierShares.of(op)
    assert len(shares) > 2
    values = [shares.values_of(number) for number in range(len(shares))]
    assert sum(map(len, values)) == len(shares.frequencies.index)
    found = spectrum_of_shares(op, shares, values)
    assert (found.method, found.complete, found.shape) == ("fourier", True, op.shape)
    top = float(whole.values[0])
    np.testing.assert_allclose(found.values, whole.values, rtol=0, atol=1e-13 * top)
    assert float(np.max(found.error)) == pytest.approx(float(np.max(whole.error)), 1e-9)


def test_errors_hold_against_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against 50 digits of small operators on tori, without a tolerance."""
    monkeypatch.setattr(cost, "SHARE_FLOPS", 1.0)
    done = 0
    for case in islice(small_cases(3), 60):
        op = case.operator()
        if cs.explain(op).method != "fourier":
            continue
        shares = FourierShares.of(op)
        values = [shares.values_of(number) for number in range(len(shares))]
        found = spectrum_of_shares(op, shares, values)
        exact = truth(case, case.weight_and_bias()[0])
        with mpmath.workdps(DIGITS):
            for value, true in zip(found.values.tolist(), exact, strict=True):
                assert abs(mpmath.mpf(value) - true) <= mpmath.mpf(float(found.error))
        done += len(shares) > 1
    assert done >= 10


@pytest.mark.parametrize(
    ("count", "flops"), [(1, 1e20), (7, 1.0), (100, 1e11), (5, 6e10)]
)
def test_shares_are_as_many_as_their_operations(count: int, flops: float) -> None:
    ends = ends_of_shares(count, flops)
    assert (ends[0], ends[-1]) == (0, count)
    assert all(first < last for first, last in pairwise(ends))
    assert len(ends) - 1 == max(1, min(count, round(flops / 2e10)))
