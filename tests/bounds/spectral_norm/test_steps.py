"""The list of steps: each is what some bound came from, none goes beyond the budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.bounds.spectral_norm.lower import leading
from convspec.bounds.spectral_norm.search import Search
from convspec.bounds.spectral_norm.steps import (
    COUNTED,
    INERTIA,
    ITSELF,
    SOME_AXES,
    STEPS,
    SUPREMUM,
    Proof,
    climb,
)
from convspec.operators.kernel import ScaledKernel
from convspec.operators.reduce import Reduction
from convspec.run.budget import Budget
from tests.enclosures import norm_enclosure
from tests.gaussian import gaussian

# words of a step -> a layer whose upper end comes from it: seed, shape, size, gap, others
CASES = {
    "counting": (0, (8, 8, 1, 1), 14, 1e-6, {}),
    ITSELF: (0, (4, 4, 3, 3), 12, 1e-6, {"padding": 1}),
    SUPREMUM: (1, (16, 16, 3, 3), 64, 1e-2, {"padding": 1}),
    COUNTED: (2, (16, 3, 7, 7), 112, 1e-6, {"padding": 3, "stride": 2}),
    "a phase-shifted torus": (
        3,
        (8, 8, 3, 3),
        21,
        1e-6,
        {"padding": 1, "padding_mode": "circular"},
    ),
    INERTIA: (9, (64, 64, 3, 3), 8, 1e-4, {"padding": 1}),
    SOME_AXES: (
        4,
        (12, 12, 3, 3),
        40,
        1e-6,
        {"padding": 2, "padding_mode": "circular"},
    ),
    "overlapping pieces": (
        6,
        (4, 4, 3, 3),
        224,
        1e-2,
        {"padding": 1, "padding_mode": "reflect"},
    ),
}


def test_every_step_has_a_case():
    assert {step.words for step in STEPS} == set(CASES)


@pytest.mark.parametrize("words", CASES)
def test_every_step_is_where_some_bound_comes_from(words):
    seed, shape, size, rtol, others = CASES[words]
    op = cs.ConvOperator(gaussian(seed, *shape), (size, size), **others)
    bound = cs.spectral_norm(op, rtol, max_flops=2e11)
    assert bound.assumptions == f"upper end: {words}"
    assert bound.lower <= bound.upper < math.inf


@pytest.mark.parametrize("flops", [1.0, 1e6, 1e8, 1e10])
def test_steps_cost_what_they_say(flops):
    """A step is passed over where its estimate is above what is left."""
    op = cs.ConvOperator(gaussian(5, 24, 24, 3, 3), (40, 40), padding=1)
    kernel, _ = ScaledKernel.of(op).essential()
    found = leading(kernel, 1e-6)
    budget = Budget(flops, 2**30)
    search = Search.of(Reduction.of(kernel.operator), found.lower, 1e-6, budget)
    climb(Proof(search, kernel, found, 1e-6))
    assert float(search.upper) < math.inf
    assert budget.spent <= flops


def test_essential_keeps_one_group_of_each_kernel_and_no_single_axis():
    one = gaussian(7, 2, 3, 3, 1)
    weight = torch.cat([one, one, 0.5 * one])
    op = cs.ConvOperator(1e-200 * weight, (9, 6), groups=3, padding=(1, 0), stride=(1, 2))
    kernel = ScaledKernel.of(op)
    core, factor = kernel.essential()
    assert core.groups == 2
    assert core.operator.geometry.sizes == (9, 1)
    assert factor == 1.0
    assert core.exponent == kernel.exponent
    scaled = cs.spectrum(core.operator).values[0] * factor
    truth = cs.spectrum(kernel.operator).values[0]
    assert scaled == pytest.approx(truth, rel=1e-13)


def test_the_factor_of_axes_that_factor_out_is_the_root_of_most_reads():
    op = cs.ConvOperator(
        gaussian(8, 2, 2, 1, 3), (5, 9), padding=(2, 1), padding_mode="replicate"
    )
    core, factor = ScaledKernel.of(op).essential()
    assert factor == pytest.approx(math.sqrt(3), rel=1e-15)
    assert factor >= math.sqrt(3)
    assert core.operator.geometry.sizes == (1, 9)


@pytest.mark.parametrize("seed", [0, 5, 9])
def test_a_pair_of_peaks_is_settled_by_two_vectors(seed):
    """One vector cannot, where a torus has the two values of a pair above A's."""
    op = cs.ConvOperator(gaussian(seed, 4, 3, 3, 3), (12, 12), padding=1)
    kernel, _ = ScaledKernel.of(op).essential()
    found = leading(kernel, 1e-5)
    search = Search.of(
        Reduction.of(kernel.operator), found.lower, 1e-5, Budget(1e12, 2**30)
    )
    tori = Proof(search, kernel, found, 1e-5).tori
    tori.by_one_vector("one")
    assert not search.done
    assert tori.vectors == 2
    tori.by_several_vectors("two")
    assert search.done
    # the matrix is that of the scaled kernel, exactly: a power of two
    low, high = norm_enclosure(kernel.operator.to_dense().numpy().astype(np.longdouble))
    assert low <= float(search.upper) <= found.lower * (1 + 1e-5)
    assert found.lower <= high


@pytest.mark.parametrize(("asked", "allowed"), [(0.0, 4e-6), (1e-4, 4e-4)])
def test_residuals_are_as_good_as_asked_for(asked, allowed):
    op = cs.ConvOperator(gaussian(11, 8, 6, 3, 3), (20, 20), padding=1)
    kernel, _ = ScaledKernel.of(op).essential()
    rows = leading(kernel, 1e-6, 2, residual=asked).rows
    A = kernel.operator.to_dense()
    images = rows @ A.T @ A
    values = (images * rows).sum(dim=1, keepdim=True) / rows.square().sum(1, keepdim=True)
    residuals = torch.linalg.vector_norm(images - values * rows, dim=1)
    assert rows.shape == (2, 6 * 400)
    assert bool((residuals <= allowed * values[0]).all())
