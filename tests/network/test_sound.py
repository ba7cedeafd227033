"""No bound is below what a network does: random ones, and those with known constants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convspec.network.graph import Graph, graph_of
from convspec.network.kinds import Bounded, Entrywise
from convspec.network.lipschitz import lipschitz
from convspec.network.lower import attained
from convspec.network.result import NetworkBound
from tests.gaussian import gaussian
from tests.node_maps import Double, graph_at, graph_matrix, joined, matrix_of
from tests.random_nets import random_net

# of norms that are computed in float64
ROUNDING = 1 - 1e-12


def norm(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


def steepest(model: nn.Module, shape: tuple[int, ...], seed: int) -> float:
    """The largest norm of the Jacobian at some points."""
    found = 0.0
    for turn, size in enumerate((0.1, 1.0, 3.0)):
        x = size * gaussian(10 * seed + turn, 1, *shape)
        jacobian = torch.autograd.functional.jacobian(lambda x: joined(model(x)), x)
        found = max(found, norm(jacobian.reshape(len(jacobian), -1)))
    return found


def steepest_pattern(graph: Graph, seed: int, turns: int = 8) -> float:
    """The largest norm with slopes at either of their ends, for each entry by itself.

    Bounds rest on the ends of slopes alone, so they hold for every such choice, whether
    an input has it or not.
    """
    if any(isinstance(node.kind, Bounded) for node in graph.nodes):
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    found = 0.0
    for _ in range(turns):
        slopes = {}
        for place, node in enumerate(graph.nodes):
            if isinstance(node.kind, Entrywise):
                coin = torch.rand(node.shape, generator=generator) < 0.7
                ends = node.kind.upper, node.kind.lower
                slopes[place] = torch.where(coin, *ends).expand(node.shape)
        found = max(found, norm(graph_matrix(graph, slopes)))
    return found


def assert_above(bound: NetworkBound, truth: float) -> None:
    assert bound.upper >= truth * ROUNDING, (bound, truth)
    for step in bound.steps:
        assert step.upper >= truth * ROUNDING, (step, truth)


def check(seed: int, seconds: float) -> None:
    model, shape = random_net(seed)
    bound = lipschitz(model, shape, seconds=seconds, lower=False)
    assert_above(bound, steepest(model, shape, seed))
    assert_above(
        bound, steepest_pattern(graph_of(model, gaussian(seed, 1, *shape)), seed)
    )
    pair = attained(model, shape, seconds=seconds, steps=20, seed=seed)
    assert_above(bound, pair.lower)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    check(seed, 0.15)


@pytest.mark.parametrize("seed", range(2100, 2108))
def test_other_units_of_the_input(seed: int) -> None:
    """Differences of channels in units of their own: columns over these."""
    model, shape = random_net(seed)
    units = gaussian(seed, shape[0]).abs() + 0.1
    bound = lipschitz(model, shape, seconds=0.3, scale=units.tolist(), lower=False)
    x = gaussian(seed + 1, 1, *shape)
    jacobian = torch.autograd.functional.jacobian(lambda x: joined(model(x)), x)
    columns = units.repeat_interleave(math.prod(shape[1:]))
    assert_above(bound, norm(jacobian.reshape(len(jacobian), -1) / columns))


@pytest.mark.parametrize("seed", range(8))
def test_pairs_of_classes(seed: int) -> None:
    model, shape = small_relu_net(seed)
    bound = lipschitz(model, shape, seconds=0.6, lower=False)
    pairs = bound.pairs()
    for turn in range(20):
        x = 3 * gaussian(100 * seed + turn, 1, *shape)
        jacobian = torch.autograd.functional.jacobian(lambda x: joined(model(x)), x)
        first, second = jacobian.reshape(2, -1)
        length = float(torch.linalg.vector_norm(first - second))
        assert float(pairs[0, 1]) >= length * ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("first", range(50, 2100, 50))
def test_many_random_networks(first: int) -> None:
    for seed in range(first, first + 50):
        check(seed, 0.5)


def small_relu_net(seed: int) -> tuple[nn.Module, tuple[int, ...]]:
    """At most ten units, with a skip, padded in one of three ways."""
    mode = ("zeros", "circular", "zeros")[seed % 3]
    pad = int(seed % 3 < 2)
    first = nn.Conv1d(1, 1, 3, padding=pad, padding_mode=mode)
    second = nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode)
    third = nn.Linear(5 if pad else 3, 2)

    def forward(x: Tensor) -> Tensor:
        hidden = first(x).relu()
        return third((hidden + second(hidden).relu()).flatten(1))

    model = Double(forward)
    model.layers = nn.ModuleList([first, second, third])
    model.double()
    for number, parameter in enumerate(model.parameters()):
        parameter.data = gaussian(100 * seed + number, *parameter.shape)
    return model, (1, 5)


@pytest.mark.parametrize("seed", range(6))
def test_all_patterns_of_few_units(seed: int) -> None:
    model, shape = small_relu_net(seed)
    graph = graph_at(model, shape)
    places = [p for p, n in enumerate(graph.nodes) if isinstance(n.kind, Entrywise)]
    sizes = [math.prod(graph.nodes[place].shape) for place in places]
    assert sum(sizes) <= 10
    most = 0.0
    for pattern in itertools.product((0.0, 1.0), repeat=sum(sizes)):
        parts = torch.tensor(pattern, dtype=torch.float64).split(sizes)
        most = max(most, norm(graph_matrix(graph, dict(zip(places, parts, strict=True)))))
    for method in ("ellipsoid", "dense"):
        bound = lipschitz(model, shape, method=method, seconds=1, lower=False)
        assert_above(bound, most)
        assert bound.upper <= 2 * most


# --- constants that are known -----------------------------------------------------------


def tent(times: int) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        for _ in range(times):
            x = 2 * x.relu() - 4 * (x - 0.5).relu()
        return x

    return function


def orthogonal(seed: int, size: int) -> Tensor:
    return torch.linalg.qr(gaussian(seed, size, size))[0]


Q = [orthogonal(seed, 6) for seed in range(3)]


def orthogonal_net(x: Tensor) -> Tensor:
    return (((x @ Q[0]).relu() @ Q[1]).abs() @ Q[2]).tanh()


def shuffled(x: Tensor) -> Tensor:
    x = F.pixel_unshuffle(F.pixel_shuffle(x, 2).flip(2), 2)
    return F.channel_shuffle(x, 2).permute(0, 3, 1, 2)


# how near a search comes that is left to its end
CLOSE = 5e-3
Known = tuple[Callable[[Tensor], Any], tuple[int, ...], float, float]
KNOWN: dict[str, Known] = {
    # function, shape, constant, and how far above a bound may be
    "|x| of two relus": (lambda x: x.relu() + (-x).relu(), (4,), 1.0, CLOSE),
    "|x| of two relus, image": (lambda x: x.relu() + (-x).relu(), (1, 4, 4), 1.0, CLOSE),
    "x + relu(x)": (lambda x: x + x.relu(), (2, 5), 2.0, 1e-3),
    "x - relu(x)": (lambda x: x - x.relu(), (2, 5), 1.0, CLOSE),
    "tent": (tent(1), (1,), 2.0, 2.0),
    "tent twice": (tent(2), (1,), 4.0, 9.0),
    "tent five times": (tent(5), (1,), 32.0, math.inf),
    "orthogonal layers": (orthogonal_net, (6,), 1.0, 1e-3),
    "shuffles": (shuffled, (8, 2, 3), 1.0, 1e-12),
    "overlapping maxima": (nn.MaxPool2d(3, 2, 1), (1, 7, 7), 2.0, 1e-3),
    "means of squares": (nn.AvgPool2d(2), (2, 6, 6), 0.5, 1e-3),
    "returned twice": (lambda x: (x, x), (3,), math.sqrt(2), 1e-6),
    "returned twice, image": (lambda x: (x, x), (1, 3, 3), math.sqrt(2), 1e-6),
    "returned twice, one as a view": (
        lambda x: ((y := x.relu()), y.flatten(1)),
        (1, 3, 3),
        math.sqrt(2),
        1e-3,
    ),
    "copied": (lambda x: x[:, :, None].expand(-1, -1, 4), (3,), 2.0, 1e-6),
    "maximum of copies": (lambda x: torch.maximum(x, 0 * Q[0][:4, :1]), (1,), 2.0, 1e-6),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_constants(name: str) -> None:
    function, shape, exact, above = KNOWN[name]
    # the search has made all of its steps long before the last second
    seconds = 30 if above == CLOSE else 1
    bound = lipschitz(Double(function), shape, seconds=seconds)
    assert_above(bound, exact)
    assert bound.upper <= exact * (1 + above)
    assert bound.lower <= exact
    if "tent" not in name:
        assert bound.lower >= exact * (1 - 1e-3)


def test_decreasing_residual_block_is_no_expansion() -> None:
    """``x - 2 W T^-1 relu(W^T x)`` (Araujo et al., ICLR 2023)."""
    weight = gaussian(3, 6, 8)
    row = (weight.T @ weight).abs().sum(1)

    def function(x: Tensor) -> Tensor:
        return x - 2 * ((x @ weight).relu() / row) @ weight.T

    bound = lipschitz(Double(function), (6,), seconds=6)
    assert_above(bound, steepest(Double(function), (6,), 0))
    assert bound.upper <= 1.02
    assert (
        min(step.upper for step in bound.steps if step.name in ("product", "fused")) > 2
    )


def test_nonnegative_networks_attain_the_open_one() -> None:
    """All units open: the linear map that then remains has the largest norm."""
    first, second = gaussian(1, 3, 2, 3).abs(), gaussian(2, 3, 3, 3).abs()
    head = gaussian(3, 2, 3 * 3).abs()

    def network(units: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            hidden = units(F.conv1d(x, first, OPEN, padding=1))
            hidden = hidden + units(F.conv1d(hidden, second, OPEN, padding=1))
            return F.avg_pool1d(hidden, 2).flatten(1) @ head.T

        return function

    exact = norm(matrix_of(network(lambda x: x), (2, 6)))
    bound = lipschitz(Double(network(torch.relu)), (2, 6), seconds=5)
    assert_above(bound, exact)
    assert exact * (1 - 1e-6) <= bound.lower <= exact


OPEN = torch.full((3,), 1e3, dtype=torch.float64)


def test_torus_is_all_of_a_circular_network() -> None:
    """By the first multipliers, which are one number for a tensor in both."""
    layers = [
        nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"),
    ]
    model = nn.Sequential(*layers).double()
    for number, parameter in enumerate(model.parameters()):
        parameter.data = gaussian(7 + number, *parameter.shape)
    found = {}
    for method in ("ellipsoid", "dense"):
        bound = lipschitz(model, (1, 6), method=method, seconds=3, lower=False)
        found[method] = {step.name.split()[0]: step.upper for step in bound.steps}
        found[method]["best"] = bound.upper
    assert found["ellipsoid"]["first"] == pytest.approx(found["dense"]["first"], rel=1e-6)
    assert found["ellipsoid"]["best"] == pytest.approx(found["dense"]["best"], rel=5e-3)


def test_linear_networks_are_exact() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3, padding=1), nn.Flatten()
    )
    model.double().eval()
    exact = norm(matrix_of(model, (2, 4, 4)))
    bound = lipschitz(model, (2, 4, 4), seconds=2)
    assert_above(bound, exact)
    assert bound.upper <= exact * (1 + 2e-3)
    assert exact * (1 - 1e-6) <= bound.lower <= exact
