"""Frequencies in shares: all of them, once, and the spectrum that they are one of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import convspec as cs
from convspec.spectrum.fourier import cost
from convspec.spectrum.fourier.shares import FourierShares, ends_of_shares
from convspec.spectrum.spectrum import spectrum_of_shares
from tests.gaussian import gaussian
from tests.oracles import singular_values

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
    dense = singular_values(op.to_dense().numpy())
    assert (np.abs(found.values - dense) <= found.error + 1e-13 * top).all()


@pytest.mark.parametrize(
    ("count", "flops"), [(1, 1e20), (7, 1.0), (100, 1e11), (5, 6e10)]
)
def test_shares_are_as_many_as_their_operations(count: int, flops: float) -> None:
    ends = ends_of_shares(count, flops)
    assert (ends[0], ends[-1]) == (0, count)
    assert all(first < last for first, last in pairwise(ends))
    assert len(ends) - 1 == max(1, min(count, round(flops / 2e10)))
