"""The probabilistic upper ends fail as rarely as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import convspec as cs
from convspec import bounds
from convspec.krylov.independent import Lanczos
from convspec.krylov.random_start import lanczos_excess, power_excess


def operator(values: list[float]) -> cs.ConvOperator:
    """An operator with these singular values: a 1 x 1 kernel on one pixel."""
    weight = torch.diag(torch.tensor(values, dtype=torch.float64))
    return cs.ConvOperator(weight[:, :, None], 1)


def failures(method: object, op: cs.ConvOperator, truth: float, count: int) -> int:
    assert callable(method)
    found = [method(op, seed=seed, starts=1, failure=0.3) for seed in range(count)]
    assert all(bound.lower <= truth for bound in found)
    return sum(bound.upper < truth for bound in found)


@pytest.mark.parametrize("method", [bounds.power_iteration, bounds.krylov])
def test_failures_are_rarer_than_stated(method: object) -> None:
    """A rank-one operator is the worst case: all depends on the first product."""
    op = operator([1.0] + [0.0] * 40)
    count = 120
    missed = failures(lambda op, **o: method(op, steps=2, **o), op, 1.0, count)  # type: ignore[operator]
    assert missed <= 0.3 * count + 3 * math.sqrt(0.21 * count)


def test_the_power_method_attains_its_probability() -> None:
    """For rank one ``x^H B^q x = x_1^2``: the bound fails as often as it may."""
    op = operator([1.0] + [0.0] * 40)
    count = 150
    missed = failures(
        lambda op, **o: bounds.power_iteration(op, steps=1, **o), op, 1.0, count
    )
    assert missed >= 0.2 * count


def test_several_starts_fail_together_only() -> None:
    """With ``failure = 0.3^3`` over three starts hardly any of 100 seeds fail."""
    op = operator([1.0] + [0.0] * 40)
    missed = 0
    for seed in range(100):
        bound = bounds.power_iteration(op, 1, starts=3, failure=0.027, seed=seed)
        missed += bound.upper < 1
    assert missed <= 0.027 * 100 + 3 * math.sqrt(0.027 * 100)


@pytest.mark.parametrize("gap", [0.5, 0.05, 0.001])
def test_clusters(gap: float) -> None:
    """The closer the second value, the later the lower end, but the upper end holds."""
    op = operator([1.0] + [1 - gap] * 60)
    for method in (bounds.power_iteration, bounds.krylov):
        for steps in (1, 3, 10, 30):
            bound = method(op, steps)
            assert bound.lower <= 1 <= bound.upper
    assert bounds.krylov(op).width <= bounds.power_iteration(op).width


def test_more_steps_and_starts_sharpen() -> None:
    weight = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    op = cs.ConvOperator(weight, 10, padding=1)
    for method in (bounds.power_iteration, bounds.krylov):
        widths = [method(op, steps).width for steps in (4, 8, 16, 32)]
        assert widths == sorted(widths, reverse=True)
        assert method(op, 8, starts=8).upper < method(op, 8, starts=1).upper
        assert method(op, 8, failure=0.1).upper < method(op, 8, failure=1e-6).upper


def test_the_same_seed_gives_the_same_bound() -> None:
    op = operator([3.0, 2.0, 1.0] + [0.5] * 50)
    for method in (bounds.power_iteration, bounds.krylov):
        assert method(op, 3) == method(op, 3)
        assert method(op, 3, seed=1) != method(op, 3, seed=2)
        assert "1 - 1e-06" in method(op).assumptions


def test_a_space_that_is_all_is_no_gamble() -> None:
    """With as many steps as dimensions Lanczos sees everything, start or no start."""
    op = operator([2.0, 2.0, 1.0, 0.5])
    bound = bounds.krylov(op, failure=1e-300)
    assert bound.lower == pytest.approx(2, rel=1e-12)
    assert bound.upper == pytest.approx(2, rel=1e-6)


def test_confidence_beyond_rounding_is_refused() -> None:
    """A failure smaller than what rounding alone could cause leaves no upper end."""
    op = operator([1.0] + [0.5] * 60)
    bound = bounds.power_iteration(op, starts=1, failure=1e-12)
    assert bound.upper == math.inf
    assert bound.lower > 0.9


# -- the formulas -----------------------------------------------------------------------


def test_dixon() -> None:
    """``theta = (sqrt(2 N / pi) / failure)^(2/q)`` where rounding plays no part."""
    scale = math.sqrt(2 * 100 / math.pi)
    assert power_excess(100, 9, 1e-3, 0) == pytest.approx((scale / 1e-3) ** (2 / 9))
    assert power_excess(100, 9, 1e-3, 2e-8) == math.inf
    assert power_excess(100, 9, 1e-3, 1e-9) > power_excess(100, 9, 1e-3, 0)


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_chebyshev(steps: int) -> None:
    """At the excess found the probability of the proof is the one asked for."""
    delta = lanczos_excess(1000, steps, 1e-2, 0) - 1
    wave = np.polynomial.chebyshev.chebval(1 + 2 * delta, [0] * (steps - 1) + [1])
    probability = math.sqrt(2 * 1000 / math.pi) / (math.sqrt(delta) * wave)
    assert probability == pytest.approx(1e-2, rel=1e-6)
    assert lanczos_excess(1000, steps, 1e-2, 1.0) == math.inf


def test_the_tail_of_one_coordinate() -> None:
    """``P(|x_1| <= a) <= a sqrt(2 N / pi)`` for x uniform on the sphere."""
    rng = np.random.default_rng(0)
    for order in (2, 5, 50):
        x = rng.standard_normal((20_000, order))
        first = np.abs(x[:, 0]) / np.linalg.norm(x, axis=1)
        for a in (0.01, 0.1, 0.3):
            bound = a * math.sqrt(2 * order / math.pi)
            assert (first <= a).mean() <= bound + 3 * math.sqrt(bound / 20_000)


# -- Lanczos ----------------------------------------------------------------------------


def lanczos(matrix: torch.Tensor, steps: int, seed: int = 0) -> Lanczos:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, len(matrix), generator=generator, dtype=matrix.dtype)
    rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return Lanczos.of(lambda x: x @ matrix.T, rows, steps, seed)


def test_lanczos_finds_the_largest_value_of_each_krylov_space() -> None:
    root = torch.randn(20, 20, generator=torch.Generator().manual_seed(1)).double()
    matrix = root @ root.T
    found = lanczos(matrix, 5)
    assert found.defects(float(torch.linalg.matrix_norm(matrix, 2))).max() < 1e-11
    for j in range(3):
        x = found.basis[j, 0]
        columns = [x]
        for _ in range(4):
            columns.append(matrix @ columns[-1])
        q = torch.linalg.qr(torch.stack(columns, dim=1))[0]
        expected = torch.linalg.eigvalsh(q.T @ matrix @ q)[-1]
        assert float(found.values[j]) == pytest.approx(float(expected), rel=1e-9)
        v = found.vectors[j]
        assert float(v @ matrix @ v) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_lanczos_goes_on_where_the_krylov_space_ends(rank: int) -> None:
    matrix = torch.diag(torch.tensor([2.0] * rank + [0.0] * (8 - rank))).double()
    found = lanczos(matrix, 8)
    assert float((found.basis @ found.basis.mT - torch.eye(8)).abs().max()) < 1e-12
    assert found.values.tolist() == pytest.approx([2.0 * (rank > 0)] * 3, abs=1e-12)
    assert found.defects(2.0).max() < 1e-11
