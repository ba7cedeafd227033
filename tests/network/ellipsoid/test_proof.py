"""Proven ends against the same recursion in fifty digits, and against closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import mpmath
import pytest
import torch
from torch import Tensor, nn

from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import estimate, prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.graph import Graph, graph_of
from convspec.network.kinds import Entrywise
from convspec.network.norms import Norms

DIGITS = 50


def graph(model: nn.Module, shape: tuple[int, ...]) -> Graph:
    x = torch.zeros(1, *shape, dtype=torch.float64)
    return prepared(graph_of(model.eval(), x), True)


def searched(propagation: Propagation, steps: int) -> Multipliers:
    """Multipliers after some steps of descent, fixed."""
    multipliers = Multipliers(Norms())
    value = estimate(propagation.run(multipliers))
    optimiser = torch.optim.Adam(multipliers.searched, lr=0.1)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / steps) + 1e-3
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        value = estimate(propagation.run(multipliers))
    with torch.no_grad():
        propagation.run(multipliers)
    return multipliers.as_fixed()


def chain(*widths: int, seed: int = 0) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for one, two in pairwise(widths):
        layers += [nn.Linear(one, two, dtype=torch.float64), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def in_digits(weights: list[Tensor], multipliers: list[list[mpmath.mpf]]) -> mpmath.mpf:
    """``sqrt(lambda_max)`` of the recursion for ReLU, all in many digits.

    ``S <- (Z + Z (Lambda - Z)^-1 Z + Lambda) / 4`` with ``Z = W S W^T``.
    """
    known = mpmath.eye(weights[0].shape[1])
    for place, weight in enumerate(weights):
        rows = mpmath.matrix(weight.tolist())
        own = rows * known * rows.T
        if place == len(weights) - 1:
            return mpmath.sqrt(max(mpmath.eigsy(own, eigvals_only=True)))
        wide = mpmath.diag(multipliers[place])
        known = (own + own * mpmath.inverse(wide - own) * own + wide) / 4
    raise AssertionError


@pytest.mark.parametrize("steps", [0, 25], ids=["first", "searched"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "widths",
    [(3, 5, 2), (4, 6, 6, 3), (2, 9, 3, 7, 4)],
    ids=lambda w: "-".join(map(str, w)),
)
def test_ends_are_above_many_digits(
    widths: tuple[int, ...], seed: int, steps: int
) -> None:
    model = chain(*widths, seed=seed)
    made = graph(model, (widths[0],))
    propagation = Propagation(made, Layout.dense(made))
    fixed = searched(propagation, steps)
    found = prove(propagation, fixed)
    places = [i for i, node in enumerate(made.nodes) if isinstance(node.kind, Entrywise)]
    with mpmath.workdps(DIGITS):
        numbers = [
            [
                mpmath.ldexp(mpmath.mpf(float(x)), fixed.found[place][1])
                for x in fixed.found[place][0]
            ]
            for place in places
        ]
        weights = [m.weight.detach() for m in model if isinstance(m, nn.Linear)]
        exact = in_digits(weights, numbers)
        assert exact <= found.upper <= exact * (1 + mpmath.mpf("1e-8"))


@pytest.mark.parametrize("mode", ["circular", "zeros"])
@pytest.mark.parametrize("seed", range(3))
def test_linear_networks_have_the_norm_of_their_symbol(mode: str, seed: int) -> None:
    """Without activations the end is the largest product of symbols, zeros or not."""
    torch.manual_seed(seed)
    padded = {"padding": 1, "padding_mode": mode, "dtype": torch.float64}
    model = nn.Conv1d(2, 3, 3, **padded)
    made = graph(model, (2, 6))
    propagation = Propagation(made, Layout.torus(made))
    (size,) = propagation.layout.lattices[0].sizes
    found = prove(propagation, Multipliers(Norms(), fixed=True)).upper
    taps = model.weight.detach().to(torch.complex128)
    exact = 0.0
    for j in range(size):
        waves = [
            complex(mpmath.expjpi(2 * mpmath.mpf(j) * (t - 1) / size)) for t in range(3)
        ]
        symbol = sum(taps[:, :, t] * waves[t] for t in range(3))
        exact = max(exact, float(torch.linalg.matrix_norm(symbol, 2)))
    assert exact * (1 - 1e-13) <= found <= exact * (1 + 1e-9)


class Modulus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) + torch.relu(-x)


def test_the_modulus_tends_to_one() -> None:
    """``|x| = relu(x) + relu(-x)``: 1 in the limit of multipliers, 2 by norms."""
    made = graph(Modulus(), (1, 4))
    propagation = Propagation(made, Layout.dense(made))
    ends = [prove(propagation, searched(propagation, steps)).upper for steps in (0, 80)]
    assert 1 <= ends[1] < 1.02 < ends[0] < 1.3


@pytest.mark.parametrize("seed", range(3))
def test_circular_networks_split_over_frequencies(seed: int) -> None:
    """With the multipliers of channels, entries and frequencies give one number.

    Averaged over translations any multipliers stay feasible, so that none are better.
    """
    torch.manual_seed(seed)
    padded = {"padding": 1, "padding_mode": "circular", "dtype": torch.float64}
    layers = [nn.Conv1d(1, 2, 3, **padded), nn.ReLU(), nn.Conv1d(2, 2, 3, **padded)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.Conv1d(2, 1, 3, **padded))
    made = graph(model, (1, 5))
    torus = Propagation(made, Layout.torus(made))
    fixed = searched(torus, 30)
    of_entries = fixed.as_fixed()
    for place, (known, exponent) in fixed.found.items():
        of_entries.found[place] = known.repeat_interleave(5), exponent
    found = prove(torus, fixed).upper
    assert prove(Propagation(made, Layout.dense(made)), of_entries).upper == (
        pytest.approx(found, rel=1e-8)
    )


def test_a_multiplier_that_is_too_small_is_refused() -> None:
    model = chain(3, 4, 2)
    made = graph(model, (3,))
    propagation = Propagation(made, Layout.dense(made))
    fixed = searched(propagation, 0)
    fixed.may_rise = False
    place = next(iter(fixed.found))
    known, exponent = fixed.found[place]
    fixed.found[place] = known / 4, exponent
    with pytest.raises(Infeasible):
        prove(propagation, fixed)


def test_pairs_are_those_of_the_last_ellipsoid() -> None:
    """A linear network has the exact constant of each difference of outputs."""
    torch.manual_seed(0)
    model = nn.Linear(5, 4, dtype=torch.float64)
    made = graph(model, (5,))
    propagation = Propagation(made, Layout.dense(made))
    found = prove(propagation, Multipliers(Norms(), fixed=True)).pairs
    assert found is not None
    rows = model.weight.detach()
    for i in range(4):
        for j in range(4):
            exact = math.sqrt(math.fsum((rows[i] - rows[j]).square().tolist()))
            assert exact * (1 - 1e-15) <= float(found[i, j]) <= exact * (1 + 1e-9)
