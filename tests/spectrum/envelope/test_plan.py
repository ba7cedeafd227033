"""Shares of an envelope: all frequencies of all tori, once, and the same envelope."""

from __future__ import annotations

import math
from itertools import islice, pairwise
from typing import Any

import mpmath
import numpy as np
import pytest

import convspec as cs
from convspec.spectrum.envelope.envelope import envelope_of
from convspec.spectrum.envelope.plan import EnvelopePlan
from convspec.spectrum.envelope.torus import block_count
from convspec.spectrum.fourier import cost
from tests.gaussian import gaussian
from tests.rounding.test_errors import DIGITS, small_cases, truth

LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "zeros": ((4, 3, 3, 3), (9, 8), {"padding": 1}),
    "stride": ((4, 3, 3, 3), (9, 8), {"padding": 1, "stride": 2}),
    "groups": ((4, 2, 3, 3), (9, 8), {"padding": 1, "groups": 2}),
    "reflect": ((4, 3, 3, 3), (9, 8), {"padding": 1, "padding_mode": "reflect"}),
    "thin": ((1, 5, 3, 3), (9, 8), {"padding": 1}),
    "line": ((3, 3, 5), (31,), {"padding": 2}),
    "an axis that factors out": ((3, 2, 3, 1), (9, 4), {"padding": (1, 0)}),
}


def layer(name: str) -> cs.ConvOperator:
    shape, size, others = LAYERS[name]
    return cs.ConvOperator(gaussian(1, *shape), size, **others)


def plan_of(
    op: cs.ConvOperator, phases: int = 4, flops: float = math.inf
) -> EnvelopePlan:
    return EnvelopePlan.of(op, phases, flops, 2**30)


@pytest.mark.parametrize("name", LAYERS)
def test_shares_are_all_frequencies_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "SHARE_FLOPS", 500.0)
    plan = plan_of(layer(name))
    assert len(plan.shares) > len(plan.jobs) > 0
    for number, job in enumerate(plan.jobs):
        own = [share for share in plan.shares if share.torus == number]
        assert own[0].first == 0
        assert own[-1].last == block_count(plan.reduced.weight, job.torus, job.turns)
        assert all(one.last == other.first for one, other in pairwise(own))
        assert all(share.first < share.last for share in own)


@pytest.mark.parametrize("name", LAYERS)
def test_the_envelope_is_the_same_in_shares(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = layer(name)
    whole = cs.spectral_envelope(op)
    monkeypatch.setattr(cost, "SHARE_FLOPS", 500.0)
    plan = plan_of(op)
    values = [plan.values_of(share) for share in plan.shares]
    for share, own in zip(plan.shares, values, strict=True):
        assert len(own) == share.last - share.first
    band = envelope_of(plan, values)
    top = float(whole.upper[0])
    # a batch of another length may round otherwise
    for one, other in ((band.lower, whole.lower), (band.upper, whole.upper)):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13 * top)
    assert band.tori == whole.tori


def test_bounds_from_shares_hold_against_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against 50 digits of small operators of every kind, without a tolerance."""
    monkeypatch.setattr(cost, "SHARE_FLOPS", 1.0)
    done = 0
    for case in islice(small_cases(4), 120):
        plan = plan_of(case.operator())
        band = envelope_of(plan, [plan.values_of(share) for share in plan.shares])
        exact = truth(case, case.weight_and_bias()[0])
        ends = zip(band.lower.tolist(), exact, band.upper.tolist(), strict=True)
        with mpmath.workdps(DIGITS):
            digit = exact[0] * mpmath.mpf(10) ** (5 - DIGITS)  # what the truth may err by
            for low, true, high in ends:
                assert mpmath.mpf(low) <= true + digit
                assert true - digit <= mpmath.mpf(high)
        done += len(plan.shares) > len(plan.jobs)
    assert done >= 20


def test_an_exact_spectrum_has_no_shares() -> None:
    op = cs.ConvOperator(gaussian(2, 3, 3, 3, 3), 8, padding=1, padding_mode="circular")
    plan = plan_of(op)
    assert plan.exact
    assert plan.shares == ()
    assert plan.flops == 0
    assert envelope_of(plan, []).tori == (1, 1)


def test_without_operations_there_is_nothing_to_decompose() -> None:
    plan = plan_of(layer("zeros"), flops=1.0)
    assert plan.shares == ()
    assert not plan.exact
    assert plan.tori[0] == 0
    assert envelope_of(plan, []).tori == plan.tori
