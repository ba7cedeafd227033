"""Golub-Kahan rules against the dense measure that each probe sees."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.krylov.bidiagonal import Rules, bidiagonalise, gauss_rules
from convspec.spectrum.density.quadrature import lanczos_rules, signs
from convspec.spectrum.density.rules import share_errors, shares_from
from tests import oracles
from tests.spectrum.density.test_density import OPERATORS, gaussian, operator


def measure(
    op: cs.ConvOperator, probes: int, seed: int = 0
) -> tuple[oracles.Array, oracles.Array]:
    """Singular values (d,), and what each probe weighs them with, (probes, d)."""
    matrix = op.to_dense().numpy()
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.conj().T
    side = matrix.shape[1]
    generator = torch.Generator().manual_seed(seed)
    start = signs(probes, side, generator).numpy() / math.sqrt(side)
    _, values, right = np.linalg.svd(matrix)
    return values, np.abs(right.conj() @ start.T).T ** 2


def rules(
    op: cs.ConvOperator, probes: int, steps: int, seed: int = 0
) -> tuple[Rules, Rules]:
    return lanczos_rules(op, probes, steps, seed, 2**30)


@pytest.mark.parametrize("name", OPERATORS)
def test_even_moments_are_exact_for_each_probe(name: str) -> None:
    op = operator(name)
    values, weights = measure(op, 3)
    gauss, radau = rules(op, 3, 5)
    top = values[0]
    for p in range(2, 19, 2):  # 2 (2 k - 1)
        truth = weights @ (values / top) ** p
        found = (gauss.weights * (gauss.nodes / top) ** p).sum(axis=1)
        np.testing.assert_allclose(found, truth, rtol=1e-10)
        if p <= 16:  # one degree less
            found = (radau.weights * (radau.nodes / top) ** p).sum(axis=1)
            np.testing.assert_allclose(found, truth, rtol=1e-10)


@pytest.mark.parametrize("p", [0.3, 1.0, 1.7, 3.0, 4.9])
@pytest.mark.parametrize("name", ["zeros", "reflect", "stride", "shifted"])
def test_gauss_and_radau_enclose_other_moments(name: str, p: float) -> None:
    if name == "shifted":  # 1 + 2 exp(iw): one value of 1e-9, all others from 1 to 3
        op = cs.ConvOperator(
            torch.tensor([[[2.0, 1.0]]], dtype=torch.float64), 30, padding=((1, 0),)
        )
    else:
        op = operator(name)
    values, weights = measure(op, 4)
    gauss, radau = rules(op, 4, 6)
    truth = weights @ values**p
    upper = (gauss.weights * gauss.nodes**p).sum(axis=1)
    lower = (radau.weights * radau.nodes**p).sum(axis=1)
    if 2 < p < 4:
        upper, lower = lower, upper
    assert (lower <= truth * (1 + 1e-12)).all()
    assert (truth <= upper * (1 + 1e-12)).all()
    assert (upper - lower < 0.2 * truth).all()


@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize("name", ["zeros", "valid", "circular", "line"])
def test_counts_are_within_their_bounds(name: str, steps: int) -> None:
    """Chebyshev, Markov and Stieltjes, for each probe and threshold."""
    op = operator(name)
    values, weights = measure(op, 3)
    gauss, _ = rules(op, 3, steps)
    t = np.linspace(1e-3, 1.05, 300) * values[0]
    t = t[np.abs(t[:, None] - values).min(axis=1) > 1e-9]
    for row in range(3):
        truth = weights[row] @ (values[:, None] >= t)
        found = shares_from(gauss.nodes[row], gauss.weights[row], t)
        bound = share_errors(gauss.nodes[row], gauss.weights[row], t)
        assert (np.abs(found - truth) <= bound + 1e-9).all()


@pytest.mark.parametrize("extra", [0, 1, 7])
def test_the_whole_krylov_space(extra: int) -> None:
    """As many steps as values and more: the probe's measure itself, then zeros."""
    op = cs.ConvOperator(gaussian(2, 1, 1, 3), 12, padding=1)
    values, weights = measure(op, 4)
    start = signs(4, 12, torch.Generator().manual_seed(0)).reshape(4, 1, 12)
    diagonal, upper = bidiagonalise(
        op.apply, op.adjoint, start / math.sqrt(12), steps=12 + extra
    )
    assert not upper[:, 11:].any()
    found = gauss_rules(diagonal, upper)
    for row in range(4):
        np.testing.assert_allclose(found.nodes[row, :12], values, atol=1e-9)
        np.testing.assert_allclose(found.weights[row, :12], weights[row], atol=1e-7)
    assert np.allclose(found.weights[:, 12:], 0, atol=1e-20)


def test_breakdown_ends_a_rule_exactly() -> None:
    """Two distinct values, one of them 0: two nodes, then nodes without weight."""
    weight = torch.zeros(2, 2, 1, dtype=torch.float64)
    weight[0, 0] = 3
    gauss, radau = rules(cs.ConvOperator(weight, 8), 5, 9)
    assert np.array_equal(gauss.nodes, radau.nodes)
    top = gauss.weights[gauss.nodes > 1]
    np.testing.assert_allclose(gauss.nodes[gauss.nodes > 1], 3)
    np.testing.assert_allclose(top, 0.5)
    assert (gauss.nodes > 1).sum() == 5
    np.testing.assert_allclose(gauss.nodes[:, 1:], 0, atol=1e-12)


def test_probes_break_down_apart() -> None:
    """An eigenvector in a batch ends at once and leaves the other probe alone."""
    op = cs.ConvOperator(gaussian(3, 2, 2, 3), 10, padding=1)
    right = np.linalg.svd(op.to_dense().numpy())[2]
    eigenvector = torch.as_tensor(right[4]).reshape(2, 10)
    other = signs(1, 20, torch.Generator().manual_seed(1)).reshape(2, 10) / math.sqrt(20)
    together = bidiagonalise(
        op.apply, op.adjoint, torch.stack([eigenvector, other]), steps=8
    )
    alone = bidiagonalise(op.apply, op.adjoint, other[None], steps=8)
    assert np.allclose(together[1][0, 0], 0, atol=1e-12)
    np.testing.assert_allclose(together[0][1], alone[0][0], rtol=1e-9)
    np.testing.assert_allclose(together[1][1], alone[1][0], rtol=1e-9)
    weights = gauss_rules(*together).weights[0]
    assert weights.max() == pytest.approx(1)


def test_orthogonality_is_kept() -> None:
    """Well separated top values, which plain Lanczos would find again and again."""
    mixing = np.diag([1000.0, 300.0, 100.0, 1.0])[:, :, None]
    weight = torch.as_tensor(mixing * np.array([0.2, 1.0, 0.3]))
    op = cs.ConvOperator(weight, 40, padding=1)
    values, weights = measure(op, 2)
    gauss, _ = rules(op, 2, 70)
    for row in range(2):
        for i in range(30):
            near = np.abs(gauss.nodes[row] - values[i]) < 1e-8 * values[0]
            same = np.abs(values - values[i]) < 1e-8 * values[0]
            assert gauss.weights[row, near].sum() == pytest.approx(
                weights[row, same].sum(), rel=1e-4, abs=1e-9
            )


def test_signs_are_fair_and_seeded() -> None:
    drawn = signs(40, 500, torch.Generator().manual_seed(5))
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(drawn.mean())) < 4 / math.sqrt(drawn.numel())
    generator = torch.Generator().manual_seed(5)
    parts = [signs(n, 500, generator) for n in (1, 7, 32)]
    assert torch.equal(torch.cat(parts), drawn)
