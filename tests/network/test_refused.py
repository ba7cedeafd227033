"""What has no constant, or none that is known: operation, module and line are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convspec as cs
from tests.node_maps import Of, graph_at, graph_matrix, matrix_of

VECTOR, ROWS = (4,), (3, 4)
ZEROS = torch.zeros(4, dtype=torch.float64)


def written_through_a_view(x: Tensor) -> Tensor:
    y = 2 * x
    y[:, :2] = 0
    return y


def returned_beside(x: Tensor) -> tuple[Tensor, Tensor]:
    y = 2 * x
    y[:, :1].relu_()
    return x, y


def changed_constant(x: Tensor) -> Tensor:
    c = torch.ones(4)
    y = x * c
    c.mul_(2)
    return y


def looped(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[Callable[[Tensor], Any], tuple[int, ...], str, str]] = {
    "argmax": (lambda x: x.argmax(1), VECTOR, "argmax", "jumps"),
    "round": (lambda x: x.round(), VECTOR, "round", "jumps"),
    "sign": (torch.sign, VECTOR, "sign", "jumps"),
    "floor": (torch.floor, VECTOR, "floor", "jumps"),
    "comparison": (lambda x: torch.where(x > 0, x, 0 * x), VECTOR, "gt", "jumps"),
    "hardshrink": (F.hardshrink, VECTOR, "hardshrink", "jumps"),
    "threshold": (lambda x: F.threshold(x, 1, 0), VECTOR, "threshold", "jumps"),
    "softplus": (lambda x: F.softplus(x, 1, 1), VECTOR, "softplus", "jumps"),
    "celu": (lambda x: F.celu(x, -1.0), VECTOR, "celu", "exponentially"),
    "power": (lambda x: x**2, VECTOR, "pow", "no bound"),
    "root": (torch.sqrt, VECTOR, "sqrt", "no bound"),
    "exp": (torch.exp, VECTOR, "exp", "no bound"),
    "log": (torch.log, VECTOR, "log", "no bound"),
    "1 / x": (lambda x: 1 / x, VECTOR, "reciprocal", "no bound"),
    "x y": (lambda x: x * x.flip(1), VECTOR, "mul", "multiplies data with data"),
    "x / y": (lambda x: x / x.flip(1), VECTOR, "div", "divides data by data"),
    "c / x": (lambda x: torch.ones(4) / x, VECTOR, "div", "divides by data"),
    "quotient rounded": (
        lambda x: torch.div(x, 2, rounding_mode="floor"),
        VECTOR,
        "div",
        "rounds",
    ),
    "normalize": (F.normalize, VECTOR, "div", "divides data by data"),
    "x x^T": (lambda x: x @ x.mT, ROWS, "bmm", "both of its factors"),
    "convolved with itself": (
        lambda x: F.conv1d(x, x[:, :1]),
        (1, 5),
        "convolution",
        "kernel",
    ),
    "glu": (F.glu, VECTOR, "glu", "not known"),
    "attention": (
        lambda x: F.scaled_dot_product_attention(x, x, x),
        (2, 3, 4),
        "attention",
        "Kim, Papamakarios and Mnih",
    ),
    "batch norm in training": (
        lambda x: F.batch_norm(x, None, None, training=True),
        ROWS,
        "batch_norm",
        "model.eval()",
    ),
    "instance norm": (nn.InstanceNorm1d(3), ROWS, "batch_norm", "statistics"),
    "batch norm with own offsets": (
        lambda x: F.batch_norm(x, ZEROS, ZEROS + 1, bias=x[0]),
        VECTOR,
        "batch_norm",
        "offsets depend",
    ),
    "layer norm with own factors": (
        lambda x: F.layer_norm(x, (4,), x[0]),
        VECTOR,
        "layer_norm",
        "factors or its offsets depend",
    ),
    "layer norm without eps": (
        nn.LayerNorm(4, 0.0).double(),
        VECTOR,
        "layer_norm",
        "eps",
    ),
    "clamp between data": (
        lambda x: x.clamp(x.flip(1)),
        VECTOR,
        "clamp",
        "depend on the input",
    ),
    "clamp to more": (
        lambda x: x.clamp(torch.zeros(3, 1)),
        VECTOR,
        "clamp",
        "more entries",
    ),
    "prelu of data": (lambda x: F.prelu(x, x[0]), VECTOR, "prelu", "depends"),
    "sorting by data": (lambda x: x.gather(1, x.argsort(1)), VECTOR, "sort", "indices"),
    "integers": (lambda x: x.int().double(), VECTOR, "_to_copy", "rounded"),
    "bits": (lambda x: x.view(torch.float32), VECTOR, "view", "bits"),
    "dropout that stays": (lambda x: F.dropout(x), VECTOR, "bernoulli_", "random"),
    "noise": (lambda x: x + torch.randn(4), VECTOR, "randn", "random"),
    "noise like data": (lambda x: x * torch.rand_like(x), VECTOR, "rand_like", "random"),
    "norm of order 1": (lambda x: x.norm(1, dim=1), VECTOR, "norm", "order"),
    "variance": (lambda x: x.var(1), VECTOR, "var", "not known"),
    "item": (lambda x: x * x[0, 0].item(), VECTOR, "_local_scalar_dense", "a number"),
    "control flow": (looped, VECTOR, "_local_scalar_dense", "a number"),
    "writes through views": (written_through_a_view, VECTOR, "return", "torch.cat"),
    "writes seen beside": (returned_beside, VECTOR, "return", "torch.cat"),
    "constants that change": (changed_constant, VECTOR, "mul", "clone it"),
    "constant output": (lambda x: torch.ones(3), VECTOR, "output", "depend on its input"),
}
# what is no operation, and what names the place by itself
NO_LINE = ("return", "output")


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name: str) -> None:
    function, shape, operation, why = REFUSED[name]
    with pytest.raises(cs.UnsupportedLayer) as error:
        graph_at(function, shape)
    words = str(error.value)
    assert operation in words
    assert why in words
    if isinstance(function, nn.Module):  # torch's own, of whose lines none is the user's
        assert ".py:" not in words
    elif operation not in NO_LINE:
        assert "test_refused.py:" in words or "node_maps.py:" in words


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.from_numpy(10 * x.numpy()),
        lambda x: x + torch.tensor(x.tolist()),
        lambda x: x + torch.tensor((2 * x)[0].tolist()),
    ],
)
def test_numbers_that_leave_torch(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(cs.UnsupportedLayer, match="torch's operations"):
        graph_at(function, VECTOR)


def test_constants_may_leave_torch() -> None:
    sizes = torch.tensor([1, 3])
    graph = graph_at(lambda x: x.split(sizes.tolist(), 1), VECTOR)
    assert len(graph.outputs) == 2


def test_module_and_line_are_named() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), Of(lambda x: x.round()))
    model = nn.Sequential(nn.ReLU(), inner).double()
    with pytest.raises(
        cs.UnsupportedLayer, match=r"round of '1.1' \(test_refused.py:\d+\)"
    ):
        graph_at(model, VECTOR)


def test_what_no_output_needs_is_not_refused() -> None:
    def function(x: Tensor) -> Tensor:
        x.argmax(1)
        x.exp()
        return x + 1

    assert len(graph_at(function, VECTOR).nodes) == 2


def test_models_in_training_mode_are_read_in_evaluation() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()).double().train()
    assert len(graph_at(model, VECTOR).nodes) == 2
    assert model.training


def test_parts_put_together_in_memory() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        made = x.new_zeros(1, 6)
        made[:, :4] = x
        half = 0.5 * made
        made[:, 2:] = x.flip(1)
        return half, made

    found = graph_matrix(graph_at(function, VECTOR))
    assert torch.equal(found, matrix_of(function, VECTOR))


def test_an_output_that_is_returned_twice_counts_twice() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, 2 * x, x

    graph = graph_at(function, VECTOR)
    assert len(set(graph.outputs)) == 3
    assert torch.equal(graph_matrix(graph), matrix_of(function, VECTOR))
