"""Numbers near to the ends of the range: nothing may vanish that a map enlarges again."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.lattice import VECTOR
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.lengths import lengths
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.nonlinear import Infeasible, activated, ready, slopes
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.graph import graph_of
from convspec.network.norms import Norms


def vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


class There(nn.Module):
    """The input beside three times itself, by way of numbers whose squares vanish."""

    def __init__(self, small: float) -> None:
        super().__init__()
        self.small = small

    def forward(self, x: Tensor) -> Tensor:
        tiny = x * self.small * self.small
        return torch.cat([x, tiny * (1 / self.small) * (1 / self.small) * 3], 1)


@pytest.mark.parametrize("small", [2.0**-520, 2.0**-600, 2.0**-1000])
@pytest.mark.parametrize("layout", [Layout.torus, Layout.dense], ids=["torus", "dense"])
def test_what_underflows_is_not_forgotten(
    layout: Callable[..., Layout], small: float
) -> None:
    x = torch.zeros(1, 2, 3, dtype=torch.float64)
    made = prepared(graph_of(There(small).eval(), x), True)
    propagation = Propagation(made, layout(made))
    try:
        found = prove(propagation, Multipliers(Norms(), fixed=True)).upper
    except Infeasible:
        return
    assert found >= math.sqrt(10) * (1 - 1e-15)


@pytest.mark.parametrize("exponent", [0, -3, -1000, -1100, -5000])
def test_groups_of_far_scales_are_joined_above(exponent: int) -> None:
    first = Group.of_leaf(VECTOR, vector(1.0, 1.0), 0, 0, True)
    other = Group.of_leaf(VECTOR, vector(1.0, 0.5), 1, exponent, True)
    found = first.joined(other, torch.tensor(3.0, dtype=torch.float64))
    for leaf, share in (("leaf 0", Fraction(4)), ("leaf 1", Fraction(4, 3))):
        group = first if leaf == "leaf 0" else other
        for one, two in zip(
            found.leaves[leaf].flatten(), group.leaves[leaf].flatten(), strict=True
        ):
            exact = share * Fraction(float(two)) * Fraction(2) ** group.exponent
            assert Fraction(float(one)) * Fraction(2) ** found.exponent >= exact


@pytest.mark.parametrize("least", [1e-100, 1e-200, 1e-300])
def test_an_activation_enlarges_small_leaves(least: float) -> None:
    """``v' = v Lambda / G >= v``, though the product of both may vanish."""
    group = Group.of_leaf(VECTOR, vector(1.0, least), 0, 0, True)
    given = slopes(vector(0.0, 0.0), vector(1.0, 1.0))
    multiplier = vector(2.0, 2 * max(least, 1e-250))
    found = activated(ready(group, 0), 0, 1, given, multiplier)
    assert bool((found.leaves["leaf 0"] >= vector(1.0, least)).all())


def test_lengths_are_not_below_those_of_tiny_numbers() -> None:
    for size in (1e-100, 1e-160, 1e-200, 1e-300):
        blocks = torch.full((1, 3, 3), size, dtype=torch.float64)
        assert float(lengths(blocks)[0]) >= 3 * size * (1 - 1e-15)


@pytest.mark.parametrize("exponent", [0, -2000, -2200, -10000])
def test_ends_of_tiny_scales_are_above(exponent: int) -> None:
    """The pairs of ``2^(e/2)`` times the identity, and its norm."""
    from convspec.network.ellipsoid.proof import _largest, _pairs

    group = Group.of_leaf(VECTOR, vector(1.0, 1.0), 0, exponent, True).gathered()
    pairs = _pairs(group)
    assert pairs is not None
    for found, square in ((_largest(group), 1), (float(pairs[0, 1]), 2)):
        assert Fraction(found) ** 2 >= square * Fraction(2) ** exponent


@pytest.mark.parametrize("layout", [Layout.torus, Layout.dense], ids=["torus", "dense"])
def test_constant_networks_have_a_tiny_end(layout: Callable[..., Layout]) -> None:
    model = nn.Sequential(
        nn.Conv1d(2, 2, 1, dtype=torch.float64),
        nn.ReLU(),
        nn.Conv1d(2, 1, 1, dtype=torch.float64),
    )
    model[0].weight.data.zero_()
    x = torch.zeros(1, 2, 3, dtype=torch.float64)
    made = prepared(graph_of(model.eval(), x), True)
    propagation = Propagation(made, layout(made))
    multipliers = Multipliers(Norms())
    with torch.no_grad():
        propagation.run(multipliers)
    assert 0 <= prove(propagation, multipliers.as_fixed()).upper < 1e-3
