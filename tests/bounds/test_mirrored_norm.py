"""Norms by cosines and sines: certified where padding mirrors as the kernel does."""

from __future__ import annotations

import mpmath
import pytest
import torch
from hypothesis import event, given, settings

import convspec as cs
from convspec.bounds.spectral_norm.norm import MIRRORED
from tests import oracles
from tests.gaussian import gaussian
from tests.mirrored import mirrored

GRADIENT = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
GRADIENT[:, :, 0, 0] = -1
GRADIENT[0, 0, 1, 0] = GRADIENT[1, 0, 0, 1] = 1


@settings(max_examples=250, deadline=None)
@given(mirrored())
def test_the_norm_is_between_the_ends(op: cs.ConvOperator) -> None:
    bound = cs.spectral_norm(op)
    event(f"mirrored: {bound.assumptions == MIRRORED}")
    norm = oracles.singular_values(op.to_dense().numpy())[0]
    oracle = 1e-15 * max(op.shape) * norm
    assert bound.lower <= norm + oracle
    assert norm - oracle <= bound.upper
    assert bound.gap <= 1e-6 or not norm


@pytest.mark.parametrize("n", [2, 3, 7, 40, 512])
def test_the_gradient_by_fifty_digits(n: int) -> None:
    op = cs.ConvOperator(GRADIENT, n, padding=((0, 1), (0, 1)), padding_mode="replicate")
    bound = cs.spectral_norm(op)
    assert bound.assumptions == MIRRORED
    with mpmath.workdps(50):
        norm = 2 * mpmath.sqrt(2) * mpmath.cos(mpmath.pi / (2 * n))
        assert mpmath.mpf(bound.lower) <= norm <= mpmath.mpf(bound.upper)
    assert bound.gap < 1e-12


@pytest.mark.parametrize("n", range(1, 20))
def test_the_second_difference_by_fifty_digits(n: int) -> None:
    kernel = torch.tensor([[[1.0, -2.0, 1.0]]])
    bound = cs.spectral_norm(cs.ConvOperator(kernel, n, padding=1))
    with mpmath.workdps(50):
        norm = 4 * mpmath.cos(mpmath.pi / (2 * (n + 1))) ** 2
        assert mpmath.mpf(bound.lower) <= norm <= mpmath.mpf(bound.upper)


def test_groups_and_panoramas() -> None:
    """Half of a ring beside a ring, several groups, a stride along the ring."""
    weight = gaussian(0, 6, 2, 3, 4).double()
    weight = weight + weight.flip(2)
    op = cs.ConvOperator(
        weight,
        (9, 8),
        padding=((1, 1), (1, 2)),
        stride=(1, 2),
        groups=3,
        padding_mode=("symmetric", "circular"),
    )
    bound = cs.spectral_norm(op)
    assert bound.assumptions == MIRRORED
    norm = oracles.singular_values(op.to_dense().numpy())[0]
    assert bound.lower - 1e-14 <= norm <= bound.upper + 1e-14
    assert bound.gap < 1e-6


def test_what_is_too_much_is_left_to_other_ways() -> None:
    op = cs.ConvOperator(GRADIENT, 64, padding=((0, 1), (0, 1)), padding_mode="replicate")
    short = cs.spectral_norm(op, max_flops=1e4)
    assert short.assumptions != MIRRORED
    assert cs.spectral_norm(op).upper <= short.upper
