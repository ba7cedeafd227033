"""Laws of steps: complete, within reason, and sober beyond what was measured."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.forecast.cost import step_cost
from convspec.forecast.features import Features
from convspec.forecast.law import ANY, Law, law_of, terms
from convspec.forecast.machine import REFERENCE
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES
from convspec.report.limits import EFFORTS
from convspec.report.row_cost import WORST_CASE

SPECTRA = ("fourier", "dense", "krylov")
STEPS = (WORST_CASE, NORM, QUANTITIES, ESTIMATES)


def features(channels: int, size: int, planned: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(channels)
    weight = torch.randn(
        channels, channels, 3, 3, generator=generator, dtype=torch.float64
    )
    return Features.of(cs.ConvOperator(weight, size, padding=1), planned)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("step", STEPS)
def test_there_is_a_law_of_each_step(step: str, effort: str) -> None:
    small, large = (step_cost(step, features(*size), effort=effort) for size in SIZES)
    assert 0 < small.seconds < large.seconds < 3600
    assert 0 < small.memory < 2**33


@pytest.mark.parametrize("step", SPECTRA)
def test_there_is_a_law_of_each_spectrum(step: str) -> None:
    small = step_cost(step, features(4, 8, 1e6))
    large = step_cost(step, features(32, 16, 1e11))
    assert small.name == step
    assert 0 < small.seconds < large.seconds


SIZES = (4, 8), (128, 56)


def test_longer_plans_than_were_measured_take_longer_in_proportion() -> None:
    law = law_of("dense", ANY)
    longest = replace(features(16, 16), planned=float(law.most[_place("planned")]))
    beyond = replace(longest, planned=longest.planned + math.log(1000))
    assert law.of(beyond)[0] == pytest.approx(1000 * law.of(longest)[0])


@pytest.mark.parametrize("step", STEPS)
def test_a_layer_beyond_all_that_were_measured_costs_what_the_nearest_does(
    step: str,
) -> None:
    law = law_of(step, "default")
    huge = Features(*(1e3 for _ in astuple(features(4, 8))))
    nearest = Features(*law.most.tolist())
    assert law.of(replace(huge, planned=nearest.planned)) == law.of(nearest)


def test_cores_share_a_step() -> None:
    alone, shared = (step_cost(NORM, features(64, 28), REFERENCE, n) for n in (1, 8))
    assert alone.seconds / 8 < shared.seconds < alone.seconds


def test_a_law_weighs_terms() -> None:
    """Of a law of one term, that of the constant, all layers cost the same."""
    count = len(terms(features(4, 8)))
    weights = np.eye(1, count)[0]
    fields = len(astuple(features(4, 8)))
    law = Law(2 * weights, 3 * weights, np.full(fields, -9.0), np.full(fields, 99.0))
    assert law.of(features(4, 8)) == pytest.approx((math.exp(2), math.exp(3)))


def _place(name: str) -> int:
    return list(features(2, 4).by_name).index(name)
