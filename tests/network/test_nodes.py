"""Nodes that are not linear: their slopes and constants, and what has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convspec as cs
from convspec.network.graph import Node
from convspec.network.kinds import Bounded, Entrywise, Kind
from tests.gaussian import gaussian
from tests.node_maps import graph_at, joined, module_of

Function = Callable[[Tensor], Any]


def only_node(function: Function, shape: tuple[int, ...]) -> Node:
    (node,) = graph_at(function, shape).nodes[1:]
    return node


def only(function: Function, shape: tuple[int, ...]) -> Kind | None:
    return only_node(function, shape).kind


def ends(function: Function) -> tuple[float, float]:
    kind = only(function, (1,))
    assert isinstance(kind, Entrywise)
    return float(kind.lower), float(kind.upper)


# --- slopes of functions of one entry -------------------------------------------------


def normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def tanh_gelu(x: Any) -> Any:
    inner = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)
    return x / 2 * (1 + mpmath.tanh(inner))


# function, its values in extended precision, where its second derivative vanishes about
ROOTS: dict[str, tuple[Function, Callable[[Any], Any], tuple[float, float]]] = {
    "gelu": (F.gelu, lambda x: x * normal(x), (-1.41, 1.41)),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), tanh_gelu, (-1.42, 1.42)),
    "silu": (F.silu, lambda x: x / (1 + mpmath.exp(-x)), (-2.4, 2.4)),
    "mish": (
        F.mish,
        lambda x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x))),
        (-2.26, 1.49),
    ),
}


@pytest.mark.parametrize("name", ROOTS)
def test_extreme_slopes_are_enclosed(name: str) -> None:
    function, exact, starts = ROOTS[name]
    lower, upper = ends(function)
    with mpmath.workdps(40):
        slopes = []
        for start in starts:
            root = mpmath.findroot(lambda x: mpmath.diff(exact, x, 2), start)
            slopes.append(mpmath.diff(exact, root))
        least, most = slopes
        assert lower <= least <= lower + 1e-12
        assert upper - 1e-12 <= most <= upper


def far() -> Tensor:
    return torch.tensor([60.0, 60.001], dtype=torch.float64)


def old_swish(x: Tensor) -> Tensor:
    return x * F.relu6(x + 3) / 6


# and the slopes that it has or comes close to
SLOPES: dict[str, tuple[Function, float, float]] = {
    "relu": (F.relu, 0.0, 1.0),
    "relu in place": (lambda x: F.relu(x, inplace=True), 0.0, 1.0),
    "relu6": (F.relu6, 0.0, 1.0),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.2), 0.2, 1.0),
    "steep leaky relu": (lambda x: F.leaky_relu(x, 3.0), 1.0, 3.0),
    "falling leaky relu": (lambda x: F.leaky_relu(x, -0.5), -0.5, 1.0),
    "prelu": (lambda x: F.prelu(x, torch.tensor([0.3], dtype=torch.float64)), 0.3, 1.0),
    "rrelu": (nn.RReLU(0.2, 0.4), 0.3, 1.0),
    "elu": (F.elu, 0.0, 1.0),
    "elu of 2": (lambda x: F.elu(x, 2.0), 0.0, 2.0),
    "elu of -1/2": (lambda x: F.elu(x, -0.5), -0.5, 1.0),
    "selu": (F.selu, 0.0, 1.7580993408473766),
    "celu": (lambda x: F.celu(x, 0.7), 0.0, 1.0),
    "hardtanh": (lambda x: F.hardtanh(x, -2, 3), 0.0, 1.0),
    "clamp": (lambda x: x.clamp(-1, 2), 0.0, 1.0),
    "clamp from below": (lambda x: x.clamp(min=0.5), 0.0, 1.0),
    "clamp by a tensor": (lambda x: x.clamp(max=torch.ones(1)), 0.0, 1.0),
    "hardsigmoid": (F.hardsigmoid, 0.0, 1 / 6),
    "hardswish": (F.hardswish, -0.5, 1.5),
    "sigmoid": (torch.sigmoid, 0.0, 0.25),
    "logsigmoid": (F.logsigmoid, 0.0, 1.0),
    "softplus": (lambda x: F.softplus(x, 2), 0.0, 1.0),
    "softshrink": (F.softshrink, 0.0, 1.0),
    "tanh": (torch.tanh, 0.0, 1.0),
    "tanhshrink": (F.tanhshrink, 0.0, 1.0),
    "softsign": (F.softsign, 0.0, 1.0),
    "x / (2 + |x|)": (lambda x: x / (2 + x.abs()), 0.0, 0.5),
    "atan": (torch.atan, 0.0, 1.0),
    "erf": (torch.erf, 0.0, 2 / math.sqrt(math.pi)),
    "sin": (torch.sin, -1.0, 1.0),
    "cos": (torch.cos, -1.0, 1.0),
    "abs": (torch.abs, -1.0, 1.0),
    "threshold": (lambda x: F.threshold(x, 0.5, 0.5), 0.0, 1.0),
    "x sigmoid(x)": (lambda x: x * x.sigmoid(), -0.0998393201, 1.0998393201),
    "sigmoid(b x) x": (lambda x: (1.702 * x).sigmoid() * x, -0.0998393201, 1.0998393201),
    "x tanh(softplus(x))": (
        lambda x: x * F.softplus(x).tanh(),
        -0.11252612239,
        1.08849816125,
    ),
    "x hardsigmoid(x)": (lambda x: x * F.hardsigmoid(x), -0.5, 1.5),
    "x relu(x + 3) up to 6": (
        lambda x: x * ((x + 3).relu().clamp(max=6) / 6),
        -0.5,
        1.5,
    ),
    "x (relu6(x + 3) / 6)": (lambda x: x * (F.relu6(x + 3) / 6), -0.5, 1.5),
}


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_are_enclosed(name: str) -> None:
    function, least, most = SLOPES[name]
    lower, upper = ends(function)
    assert lower == pytest.approx(least, abs=1e-9)
    assert upper == pytest.approx(most, abs=1e-9)
    near = torch.linspace(-12, 12, 24001, dtype=torch.float64)
    x = torch.cat([-far().flip(0), near, far()])[:, None]
    with torch.no_grad():  # one entry an image
        y = module_of(function).eval()(x.clone())
    slopes = (y.diff(dim=0) / x.diff(dim=0)).flatten()
    assert lower - 1e-10 <= float(slopes.min()) <= lower + 2e-3
    assert upper - 2e-3 <= float(slopes.max()) <= upper + 1e-10


def test_old_hardswish_is_a_function_of_entries() -> None:
    graph = graph_at(old_swish, (3,))
    first, second = [node.kind for node in graph.nodes[1:]]
    assert isinstance(first, Entrywise)
    assert (float(first.lower), float(first.upper)) == pytest.approx((-3, 9))
    assert first.upper >= 9
    assert second is not None


def test_slopes_of_channels() -> None:
    layer = nn.PReLU(3).double()
    layer.weight.data = torch.tensor([0.25, -2.0, 3.0]).double()
    kind = only(layer, (3, 4, 5))
    assert isinstance(kind, Entrywise)
    assert kind.lower.flatten().tolist() == [0.25, -2.0, 1.0]
    assert kind.upper.flatten().tolist() == [1.0, 1.0, 3.0]
    assert kind.lower.shape == (1, 3, 1, 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * (x + 1).sigmoid(),
        lambda x: x.roll(1, 1) * x.sigmoid(),
        lambda x: x - x.roll(1, 1).tanh(),
        lambda x: x / (x.roll(1, 1).abs() + 1),
        lambda x: torch.sub(x, x.tanh(), alpha=2),
        lambda x: x / (1 - x.abs()),
        lambda x: x / (x.abs() - 1),
        lambda x: x * F.relu6(x + 2),
        lambda x: x * F.hardtanh(x + 3, 0, 7),
        lambda x: x * (x + 3).relu(),
        lambda x: x * (x + 3).clamp(max=6),
        lambda x: x * (x + 3).clamp(torch.zeros(1), torch.tensor([6.0])),
        lambda x: x * F.softplus(x, 2).tanh(),
    ],
)
def test_what_only_looks_like_one_function_is_not_one(function: Function) -> None:
    try:
        graph = graph_at(function, (4,))
    except cs.UnsupportedLayer:
        return
    assert len(graph.nodes) > 2


# --- constants --------------------------------------------------------------------------

POOLS: dict[str, tuple[Function, tuple[int, ...], float]] = {
    "2": (nn.MaxPool2d(2), (1, 8, 8), 1.0),
    "3/2": (nn.MaxPool2d(3, 2, 1), (1, 9, 9), 2.0),
    "3/1": (nn.MaxPool2d(3, 1, 1), (1, 8, 8), 3.0),
    "5/2 and 3/3": (nn.MaxPool2d((5, 3), (2, 3)), (1, 13, 9), math.sqrt(3)),
    "dilated": (nn.MaxPool2d(3, 1, 0, 2), (1, 12, 12), 3.0),
    "dilated with strides": (nn.MaxPool2d(3, 2, 0, 2), (1, 15, 15), 3.0),
    "ceil": (nn.MaxPool2d(3, 2, ceil_mode=True), (1, 8, 8), 2.0),
    "3-D": (nn.MaxPool3d(3, 2), (1, 7, 7, 7), math.sqrt(8)),
    "1-D": (nn.MaxPool1d(4, 2), (1, 12), math.sqrt(2)),
    "adaptive": (nn.AdaptiveMaxPool2d((3, 5)), (1, 7, 8), 2.0),
    "adaptive that fits": (nn.AdaptiveMaxPool2d(4), (1, 8, 8), 1.0),
    "adaptive 3-D": (nn.AdaptiveMaxPool3d((1, 3, 2)), (1, 3, 7, 4), math.sqrt(2)),
}


@pytest.mark.parametrize("name", POOLS)
def test_maxima_of_windows(name: str) -> None:
    function, shape, exact = POOLS[name]
    kinds = [node.kind for node in graph_at(function, shape).nodes]
    (kind,) = [kind for kind in kinds if isinstance(kind, Bounded)]
    assert exact <= kind.constant * (1 + 1e-15)
    assert kind.constant == pytest.approx(exact, rel=1e-15)
    # one pixel alone moves all windows that read it
    units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    moved = function(units) - function(torch.zeros_like(units))
    assert float(moved.flatten(1).norm(dim=1).max()) == pytest.approx(exact, rel=1e-15)


CONSTANTS: dict[str, tuple[Function, tuple[int, ...], float]] = {
    "softmax": (lambda x: x.softmax(1), (5,), 0.5),
    "softmax over pixels": (lambda x: x.softmax(-1), (2, 3), 0.5),
    "log_softmax": (lambda x: x.log_softmax(1), (5,), math.sqrt(5)),
    "logsumexp": (lambda x: x.logsumexp(1), (5,), 1.0),
    "length": (lambda x: x.norm(dim=1), (5,), 1.0),
    "largest modulus": (lambda x: torch.linalg.vector_norm(x, math.inf, 1), (5,), 1.0),
    "amax": (lambda x: x.amax((1, 2)), (3, 4), 1.0),
    "max of all": (lambda x: x.max(), (3, 4), 1.0),
    "max over an axis": (lambda x: x.max(1).values, (3, 4), 1.0),
    "amin": (lambda x: x.amin(2), (3, 4), 1.0),
    "sort": (lambda x: x.sort(1).values, (5,), 1.0),
    "topk": (lambda x: x.topk(2, 1).values, (5,), 1.0),
    "maximum of a constant": (lambda x: torch.maximum(x, torch.zeros(5)), (5,), 1.0),
    "maximum, broadcast": (lambda x: torch.maximum(x, torch.zeros(4, 5)), (5,), 2.0),
    "layer norm": (nn.LayerNorm(5).double(), (5,), 1 / math.sqrt(1e-5)),
    "group norm": (nn.GroupNorm(2, 4).double(), (4, 3), 1 / math.sqrt(1e-5)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name: str) -> None:
    function, shape, exact = CONSTANTS[name]
    kind = only(function, shape)
    assert isinstance(kind, Bounded)
    assert exact <= kind.constant * (1 + 1e-14)
    assert kind.constant == pytest.approx(exact, rel=1e-14)
    assert bool(kind.warning) == ("norm" in name)
    largest = 0.0
    for seed, size in enumerate((0.0, 1e-6, 0.1, 1.0, 5.0, 40.0)):
        x = size * gaussian(seed, 1, *shape)
        jacobian = torch.autograd.functional.jacobian(
            lambda x: joined(module_of(function).double()(x)), x
        )
        norm = float(torch.linalg.matrix_norm(jacobian.reshape(len(jacobian), -1), 2))
        assert norm <= kind.constant * (1 + 1e-12)
        largest = max(largest, norm)
    if name in ("softmax", "log_softmax", "softmax over pixels"):
        return  # at two equal entries, and at infinity
    assert largest >= exact * (1 - 1e-6)


def test_softmax_attains_a_half() -> None:
    x = torch.tensor([[3.0, 3.0, -99.0]]).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: x.softmax(1), x)
    norm = torch.linalg.matrix_norm(jacobian.reshape(3, 3), 2)
    assert float(norm) == pytest.approx(0.5, abs=1e-15)


def test_maximum_of_two_tensors_moves_with_both() -> None:
    graph = graph_at(lambda x: torch.maximum(x[:, :1], x[:, 1:]), (4,))
    kind = graph.nodes[-1].kind
    assert isinstance(kind, Bounded)
    assert math.sqrt(3) <= kind.constant < 1.7320508076
    assert len(graph.nodes[-1].inputs) == 2
