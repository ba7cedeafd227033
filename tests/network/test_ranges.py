"""Ranges hold every value of every tensor for all inputs of the domain."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convspec.network.domain import domain_of
from convspec.network.graph import recorded_graph
from convspec.network.ranges import Range, ranges
from tests.gated_nets import gated_net
from tests.gaussian import gaussian
from tests.reshaping_nets import Call

Function = Callable[[Tensor], Tensor]


def ranges_of(
    model: nn.Module, shape: tuple[int, ...], ends: tuple[object, object]
) -> list[Range]:
    """Of the nodes of a model, by their place."""
    domain = domain_of(ends, shape)
    assert domain is not None
    box = domain.range(shape)
    graph, run = recorded_graph(model, (box.low + box.high) / 2, keeps=True)
    return ranges(graph, box, run)


def at_output(function: Function, width: int, ends: tuple[object, object]) -> Range:
    """Of what a function returns, times 1 for it to be read."""
    return ranges_of(Call(lambda x: function(x) * 1.0), (width,), ends)[-1]


def inputs_of(box: Range, count: int, seed: int) -> Tensor:
    """Between the ends, and at corners."""
    shares = gaussian(seed, count, *box.low.shape[1:]).abs().fmod(1)
    shares[::3] = shares[::3].round()
    shares[0], shares[1] = 0.0, 1.0
    found = box.low + (box.high - box.low) * shares
    return torch.minimum(torch.maximum(found, box.low), box.high)


def assert_held(
    model: nn.Module, shape: tuple[int, ...], ends: tuple[object, object], count: int
) -> None:
    domain = domain_of(ends, shape)
    assert domain is not None
    box = domain.range(shape)
    known = ranges_of(model, shape, ends)
    for x in inputs_of(box, count, 1):
        graph, run = recorded_graph(model, x[None], keeps=True)
        assert len(graph.nodes) == len(known)
        for node, range_ in zip(graph.nodes, known, strict=True):
            assert node.value is not None
            value = run.held(node.value, node.at)
            assert value is not None
            value = value.reshape(node.shape)
            assert bool((range_.low <= value).all() & (value <= range_.high).all()), node


@pytest.mark.parametrize("seed", range(25))
def test_random_nets(seed: int) -> None:
    """At 40 inputs each, corners among them: 10^4 values and more of their nodes."""
    model, shape, ends = gated_net(seed)
    assert_held(model, shape, ends, 40)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 500, 50))
def test_many_random_nets(first: int) -> None:
    for seed in range(first, first + 50):
        model, shape, ends = gated_net(seed)
        assert_held(model, shape, ends, 40)


HELD: dict[str, tuple[Function, float, float]] = {
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), -2.0, 2.0),
    "gelu": (F.gelu, -2.0, 2.0),
    "silu": (F.silu, -3.0, 1.0),
    "silu of a small slope": (lambda x: x * torch.sigmoid(0.1 * x), -20.0, 1.0),
    "silu of a slope below 0": (lambda x: x * torch.sigmoid(-x), -5.0, 5.0),
    "mish": (F.mish, -3.0, 1.0),
    "hardswish": (F.hardswish, -4.0, 1.0),
    "hardswish in parts": (lambda x: x * (F.relu6(x + 3) / 6), -4.0, 1.0),
    "six hardswish": (lambda x: x * F.relu6(x + 3), -4.0, 1.0),
    "elu near 0": (F.elu, -1e-12, -1e-12),
    "celu of a large alpha": (lambda x: F.celu(x, 1e6), -1.0, -0.5),
    "softplus where torch bends it": (F.softplus, 0.0, 20 + 1e-10),
    "tanhshrink near 0": (F.tanhshrink, 1e-6, 1.1e-6),
    "logsumexp near 0": (lambda x: x.logsumexp(1), -math.log(3), -math.log(3)),
    "layer norm far out": (lambda x: F.layer_norm(x, (3,)), 1e8, 1e8),
    "large offsets": (lambda x: (x + 1e8) * 3 - 3e8, -1.0, 1.0),
    "sine": (torch.sin, -1.0, 9.0),
    "cube": (lambda x: x**3, -2.0, 1.0),
    "square": (lambda x: x**2, -2.0, 1.0),
    "inverse square": (lambda x: x**-2, -2.0, -1.0),
    "quotient": (lambda x: x / (x + 3), -1.0, 2.0),
    "largest": (lambda x: x.amax(1, keepdim=True) * x, -1.0, 2.0),
    "softmax": (lambda x: torch.softmax(x, 1), -1.0, 2.0),
    "masked": (
        lambda x: x.masked_fill(torch.tensor([[True, False, True]]), 9.0),
        0.0,
        1.0,
    ),
    "joined to a constant": (
        lambda x: torch.cat([x, torch.full((1, 2), 4.0, dtype=x.dtype)], 1),
        0.0,
        1.0,
    ),
    "padded by another number": (lambda x: F.pad(x, (1, 1), value=5.0), 0.0, 1.0),
    "in place": (lambda x: (x + 1).mul_(x + 2).add_(x, alpha=-3).relu_(), -1.0, 2.0),
    "its own square in place": (lambda x: (lambda y: y.mul_(y))(x * 1), -5.0, 2.0),
}


@pytest.mark.parametrize("case", HELD)
def test_functions(case: str) -> None:
    function, low, high = HELD[case]
    found = at_output(function, 3, (low, high))
    line = torch.linspace(0.0, 1.0, 10001, dtype=torch.float64)
    for share in line if "norm" in case or "log" in case else line[::100]:
        x = torch.full((1, 3), low + float(share) * (high - low), dtype=torch.float64)
        value = function(x.clamp(low, high))
        assert bool((found.low <= value).all() & (value <= found.high).all()), float(
            x[0, 0]
        )
    assert found.is_finite


# of functions that rise on the domain: their values at its ends
TIGHT: dict[str, tuple[Function, float, float]] = {
    "exp": (torch.exp, -1.0, 2.0),
    "log": (torch.log, 0.5, 2.0),
    "log1p": (torch.log1p, -0.5, 2.0),
    "expm1": (torch.expm1, -0.5, 2.0),
    "sqrt": (torch.sqrt, 0.25, 9.0),
    "cube": (lambda x: x**3, -2.0, 1.0),
    "root": (lambda x: x**1.5, 0.5, 2.0),
    "relu": (torch.relu, -1.0, 2.0),
    "tanh": (torch.tanh, -1.0, 2.0),
    "softplus": (F.softplus, -1.0, 2.0),
    "elu": (F.elu, -1.0, 2.0),
    "clamp": (lambda x: x.clamp(-0.5, 0.5), -1.0, 2.0),
}


@pytest.mark.parametrize("case", TIGHT)
def test_rising_functions_end_at_their_ends(case: str) -> None:
    function, low, high = TIGHT[case]
    found = at_output(function, 2, (low, high))
    ends = torch.tensor([[low, high]], dtype=torch.float64)
    wanted = function(ends)
    assert bool((found.low <= wanted[0, 0]).all() & (wanted[0, 1] <= found.high).all())
    assert torch.allclose(found.low, wanted[0, 0].expand(1, 2), rtol=1e-7, atol=1e-7)
    assert torch.allclose(found.high, wanted[0, 1].expand(1, 2), rtol=1e-7, atol=1e-7)


def test_squares_and_inverses() -> None:
    square = at_output(lambda x: x**2, 1, (-2.0, 1.0))
    assert abs(float(square.low)) < 1e-9 < 4 <= float(square.high) < 4 + 1e-8
    product = at_output(lambda x: x * x, 1, (-2.0, 1.0))
    assert abs(float(product.low)) < 1e-9 < 4 <= float(product.high) < 4 + 1e-8
    inverse = at_output(lambda x: x**-3, 1, (-2.0, -1.0))
    assert -1 - 1e-9 < float(inverse.low) <= -1
    assert -1 / 8 <= float(inverse.high) < -1 / 8 + 1e-9


def test_linear_layers_are_exact_on_boxes() -> None:
    """``|W| r`` about the value at the middle."""
    layer = nn.Linear(4, 3).double()
    weight, bias = gaussian(1, 3, 4), gaussian(2, 3)
    layer.load_state_dict({"weight": weight, "bias": bias})
    low, high = gaussian(3, 4), gaussian(3, 4) + gaussian(4, 4).abs()
    found = ranges_of(layer, (4,), (low, high))[-1]
    ends = [
        sum(max(w * a, w * b) for w, a, b in zip(row, low, high, strict=True)) + c
        for row, c in zip(weight.tolist(), bias.tolist(), strict=True)
    ]
    wanted = torch.tensor(ends, dtype=torch.float64)
    assert bool((found.high[0] >= wanted).all())
    assert torch.allclose(found.high[0], wanted, rtol=1e-9, atol=1e-9)


def test_what_is_written_in_parts_is_read_as_it_is_then() -> None:
    """Circular padding copies its own borders behind the image."""

    def squared(x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="circular")
        return padded * padded

    found = ranges_of(Call(lambda x: squared(x) * 1), (2, 3, 3), (1.0, 2.0))
    assert found[-1].is_finite
    assert float(found[-1].low.min()) > 0.99
    assert float(found[-1].high.max()) < 4.01
    assert_held(Call(lambda x: squared(x) * 1), (2, 3, 3), (1.0, 2.0), 10)


def test_a_tensor_that_grows_is_known_as_it_was_read() -> None:
    def grown(x: Tensor) -> tuple[Tensor, Tensor]:
        image = torch.zeros(1, 2, dtype=x.dtype)
        image[:, :1] = x
        first = image * 2
        image[:, 1:] = x
        return first * 1, image * image * 1

    class Grown(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return grown(x)

    assert_held(Grown(), (1,), (3.0, 4.0), 10)


def test_other_dtypes_inside_are_not_known() -> None:
    """Values at the middle are off by what these round."""
    model = Call(lambda x: torch.sigmoid(x.float()).double() * 1)
    assert not ranges_of(model, (3,), (0.1, 0.1))[-1].is_finite


def test_long_sums_are_enlarged_by_their_terms() -> None:
    wide = Range(gaussian(1, 1) * 0, gaussian(1, 1) * 0 + 1)
    short, long = wide.enlarged(1.0), wide.enlarged(1.0, 2**20)
    assert float(long.high - 1) > 60 * float(short.high - 1) > 0
