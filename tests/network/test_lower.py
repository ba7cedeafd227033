"""Pairs of inputs: constants that are known are reached, and never passed."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, weight_norm

import convspec as cs
from convspec.network.lower import Pair, attained, re_evaluated
from tests.gaussian import gaussian

ROUNDING = 1 + 1e-12


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def filled(model: nn.Module, seed: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model with seeded normal weights, which keep lengths about."""
    for number, parameter in enumerate(model.parameters()):
        fan = parameter[0].numel() if parameter.ndim > 1 else 16
        values = gaussian(seed + 100 * number, *parameter.shape)
        parameter.data = (values / math.sqrt(fan)).to(dtype)
    return model.to(dtype=dtype)


def matrix_of(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The matrix of a model that is affine, from its values at unit vectors."""
    double = copy.deepcopy(model).double().eval()
    unit = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        return (double(unit) - double(torch.zeros_like(unit))).flatten(1).T


def assert_reached(pair: Pair, exact: float, share: float) -> None:
    """Up to a share of the constant, and not above."""
    assert pair.lower <= pair.ratio <= exact * ROUNDING
    assert pair.lower <= exact
    assert pair.lower >= exact * (1 - share)
    assert pair.x.dtype == pair.y.dtype == torch.float64


def hat(x: Tensor) -> Tensor:
    return 2 * torch.relu(x) - 4 * torch.relu(x - 0.5)


def gate(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


KNOWN: dict[str, tuple[Callable[[Tensor], Any], tuple[int, ...], float]] = {
    "absolute value": (lambda x: torch.relu(x) + torch.relu(-x), (3, 4), 1.0),
    "skip over relu": (lambda x: x + torch.relu(x), (5,), 2.0),
    "skip over absolute value": (lambda x: x + x.abs(), (1, 4, 4), 2.0),
    "decreasing": (lambda x: x - torch.relu(x), (6,), 1.0),
    "overlapping maxima": (
        lambda x: nn.functional.max_pool2d(x, 3, 2, 1),
        (1, 7, 7),
        2.0,
    ),
    "means": (lambda x: nn.functional.avg_pool2d(x, 2), (2, 6, 6), 0.5),
    "several outputs": (
        lambda x: {"a": x, "b": (2 * x, x.flatten(1))},
        (2, 3),
        math.sqrt(6),
    ),
    "shuffled pixels": (lambda x: nn.functional.pixel_shuffle(x, 2), (4, 3, 3), 1.0),
    "nothing": (lambda x: 0 * x, (2,), 0.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_constants(name: str) -> None:
    function, shape, exact = KNOWN[name]
    model = Of(function)
    pair = attained(model, shape, steps=24)
    assert_reached(pair, exact, 1e-9)
    assert re_evaluated(model, pair) == pair.ratio


@pytest.mark.parametrize("folds", [1, 3, 5])
def test_tents(folds: int) -> None:
    """``2^k``: the k-fold tent on [0, 1], continued by slopes of 2^k at most."""

    def function(x: Tensor) -> Tensor:
        for _ in range(folds):
            x = hat(x)
        return x

    assert_reached(attained(Of(function), (1,), steps=24), 2.0**folds, 1e-9)


def test_largest_slope_between_kinks() -> None:
    """x sigmoid(x) has the slope 1.0998 at 2.3994 alone."""
    assert_reached(attained(Of(gate), (1,), steps=60), 1.09983932012886692, 1e-6)


def test_normalisation_at_a_constant() -> None:
    """By ``1 / sqrt(eps)`` where there is nothing to normalise."""
    model = nn.GroupNorm(1, 2, eps=1e-2, dtype=torch.float64)
    assert_reached(attained(model, (2, 3, 3), steps=8), 10.0, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
def test_orthogonal_layers(seed: int, dtype: torch.dtype) -> None:
    layers: list[nn.Module] = []
    for k in range(3):
        linear = nn.Linear(6, 6)
        linear.weight.data = torch.linalg.qr(gaussian(seed + k, 6, 6))[0].to(dtype)
        linear.bias.data = gaussian(k, 6).to(dtype)
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    exact = math.prod(
        float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2))
        for layer in model
        if isinstance(layer, nn.Linear)
    )
    pair = attained(model, (6,), steps=40, seed=seed)
    assert pair.lower <= exact
    assert pair.ratio <= exact * ROUNDING
    assert pair.lower > 0.9  # no common direction need stay open through all layers


class Nonnegative(nn.Module):
    """Strides, a skip, concatenation and means, with weights and biases from 0 up."""

    def __init__(self, seed: int, bias: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(8, 5, 3, stride=2)
        self.head = nn.Linear(5, 3)
        filled(self, seed, torch.float32)
        for name, parameter in self.named_parameters():
            large = name.endswith("bias")
            parameter.data = parameter.abs() + (bias if large else 0.0)
        self.cut = torch.relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut(self.first(x))
        x = torch.cat([x, x + self.cut(self.second(x))], dim=1)
        return self.head(self.cut(self.third(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize("bias", [0.0, 10.0])
@pytest.mark.parametrize("seed", range(2))
def test_nonnegative_networks(seed: int, bias: float) -> None:
    """All open they stretch most: the norm of the linear network without ReLU."""
    model = Nonnegative(seed, bias)
    linear = copy.deepcopy(model)
    linear.cut = nn.Identity()
    matrix = matrix_of(linear, (2, 9, 9))
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    assert_reached(attained(model, (2, 9, 9), steps=20), exact, 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_deep_linear_networks(seed: int) -> None:
    """Of the composition, which is below the product of the layers' norms."""
    layers = [
        nn.Conv2d(2, 6, 3, padding=1),
        nn.Conv2d(6, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.AvgPool2d(2, 1),
        nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"),
    ]
    model = filled(nn.Sequential(*layers), seed, torch.float32)
    exact = float(torch.linalg.matrix_norm(matrix_of(model, (2, 12, 12)), 2))
    assert_reached(attained(model, (2, 12, 12), steps=0, seed=seed), exact, 1e-4)


def hidden(seed: int, size: int = 10, units: int = 8) -> nn.Sequential:
    return filled(
        nn.Sequential(nn.Linear(size, units), nn.ReLU(), nn.Linear(units, 4)), seed
    )


@pytest.mark.parametrize("seed", range(3))
def test_one_hidden_layer(seed: int) -> None:
    """Rows of full rank: every pattern of open units occurs, and one is the largest."""
    model = hidden(seed)
    first, last = model[0].weight.detach(), model[2].weight.detach()
    masks = torch.tensor([*itertools.product((0.0, 1.0), repeat=8)], dtype=torch.float64)
    exact = float(torch.linalg.matrix_norm(last * masks[:, None] @ first, 2).max())
    assert_reached(attained(model, (10,), steps=60), exact, 0.2)


def convolutional(seed: int) -> nn.Module:
    layers = [nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    layers += [nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 6)]
    return filled(nn.Sequential(*layers), seed, torch.float32)


@pytest.mark.parametrize("seed", range(3))
def test_above_sampled_slopes_and_below_the_product(seed: int) -> None:
    model = convolutional(seed)
    pair = attained(model, (2, 8, 8), steps=60)
    points = gaussian(seed, 30, 1, 2, 8, 8).float()
    jacobian = torch.autograd.functional.jacobian
    sampled = [jacobian(model, x).reshape(6, -1) for x in points]
    assert pair.lower > 1.2 * max(torch.linalg.matrix_norm(j, 2) for j in sampled)
    product = 1.0
    for size, layer in zip((8, 8, 6, 0), (model[0], model[2], model[4], model[7])):  # noqa: B905
        if size:
            product *= cs.spectral_norm(cs.ConvOperator.from_layer(layer, size)).upper
        else:
            product *= float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) * 1.001
    assert pair.lower < product
    assert pair.lower > 0.999 * pair.ratio
    assert re_evaluated(model, pair) == pair.ratio
    moved = (pair.x - pair.y).norm() / pair.x.norm()
    assert moved > 1e-6


def same(one: Pair, two: Pair) -> bool:
    return (
        torch.equal(one.x, two.x) and torch.equal(one.y, two.y) and one.words == two.words
    )


def test_seeds() -> None:
    model = convolutional(1)
    first, again, other = (attained(model, (2, 8, 8), steps=6, seed=s) for s in (3, 3, 4))
    assert same(first, again)
    assert first.lower == again.lower
    assert not same(first, other)


def test_starts_are_used() -> None:
    """A steep place that noise does not find."""

    def function(x: Tensor) -> Tensor:
        return x + 9 * (torch.relu(x - 1e4) - torch.relu(x - 1.1e4))

    start = torch.full((1,), 1.05e4)
    assert attained(Of(function), (1,), steps=8).lower < 10 - 1e-3
    for starts in (start, start[None], start[None].half()):
        pair = attained(Of(function), (1,), starts=starts, steps=12)
        assert_reached(pair, 10.0, 1e-9)
        assert "starts[0]" in pair.words


def test_seconds() -> None:
    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.002)
            return torch.relu(x)

    begin = time.perf_counter()
    pair = attained(Slow(), (3,), seconds=0.05, steps=10**6)
    assert time.perf_counter() - begin < 2
    assert pair.words.endswith("cut short by seconds")
    assert "cut" not in attained(Slow(), (3,), seconds=100, steps=0).words
    assert_reached(pair, 1.0, 1e-9)


class Awkward(nn.Module):
    """What models do: batch norm, dropout, parametrizations, writing into the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.bounded = parametrizations.spectral_norm(nn.Conv2d(3, 3, 2))
        self.scale = torch.full((3, 1, 1), 0.5)
        filled(self, 4, torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(2.0)
        x = torch.relu_(self.drop(self.norm(self.conv(x))))
        return self.bounded(x) * self.scale


@pytest.mark.parametrize("training", [True, False])
def test_model_is_left_as_it_was(training: bool) -> None:
    model = Awkward().train(training)
    model.norm.train(not training)
    seen = []
    model.conv.register_forward_hook(lambda *_: seen.append(1))
    model.norm.register_full_backward_hook(lambda *_: None)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    kept = [(id(p), p.dtype, p.requires_grad, p.grad.sum()) for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    with torch.no_grad():
        pair = attained(model, (2, 6, 6), steps=8)
    assert re_evaluated(model, pair) == pair.ratio > 0
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in state.items())
    assert kept == [
        (id(p), p.dtype, p.requires_grad, p.grad.sum()) for p in model.parameters()
    ]
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert len(model.conv._forward_hooks) == len(model.norm._backward_hooks) == 1
    assert model.scale.dtype == torch.float32
    assert torch.is_grad_enabled()


def test_computed_weights_are_copied() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        model = weight_norm(filled(nn.Linear(3, 2), 1, torch.float32))
    exact = float(torch.linalg.matrix_norm(model.weight.detach().double(), 2))
    pair = attained(model, (3,), steps=4)
    assert exact * (1 - 1e-6) < pair.lower < exact * (1 + 1e-6)


class Once(torch.autograd.Function):
    """Doubles; its backward pass has no derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, u: Tensor) -> Tensor:
        return 2 * u


def test_layers_without_second_derivatives() -> None:
    assert_reached(attained(Of(Once.apply), (3,), steps=8), 2.0, 1e-9)


@pytest.mark.parametrize("state", [torch.inference_mode, torch.no_grad])
def test_state_of_the_process(state: Any) -> None:
    with state():
        model = convolutional(0)
        found = attained(model, (2, 8, 8), steps=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(attained(model, (2, 8, 8), steps=4), found)
    assert same(attained(convolutional(0), (2, 8, 8), steps=4), found)


@pytest.mark.parametrize("offset", [1e8, 1e10, 1e12, 1e14, 1e15])
@pytest.mark.parametrize("seed", range(4))
def test_rounding_is_taken_off(seed: int, offset: float) -> None:
    """A large constant in front costs digits of the difference, which are not claimed.

    Of outputs that are multiples of 0.125 the search takes the pair that rounding drove
    farthest apart: without what is taken off the ratio is up to nine times too large.
    """
    weight = gaussian(seed, 3 + seed, 1 + seed % 3)

    def function(x: Tensor) -> Tensor:
        return (x @ weight.to(x) + offset) - offset

    exact = float(torch.linalg.matrix_norm(weight, 2))
    pair = attained(Of(function), (3 + seed,), steps=12, seed=seed)
    assert 0.5 * exact < pair.lower <= exact


@pytest.mark.parametrize("seed", range(3))
def test_less_precision_inside(seed: int) -> None:
    """Nothing says that a model drops digits, but its values do."""
    weight = gaussian(seed, 4, 2).float()

    def function(x: Tensor) -> Tensor:
        return ((x.float() + 1000) @ weight).to(x)

    exact = float(torch.linalg.matrix_norm(weight.double(), 2))
    pair = attained(Of(function), (4,), steps=12, seed=seed)
    assert 0.99 * exact < pair.lower <= exact


def test_beyond_float32() -> None:
    model = filled(nn.Linear(3, 2), 1)
    model.weight.data *= 1e40
    exact = float(torch.linalg.matrix_norm(model.weight.detach(), 2))
    assert_reached(attained(model, (3,), steps=4), exact, 1e-7)


def refuse(**changed: Any) -> Pair:
    return attained(**{"model": nn.ReLU(), "shape": (3,), "steps": 4, **changed})


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"model": torch.relu}, TypeError, "must be a torch.nn.Module; got builtin"),
        ({"model": nn.LazyLinear(3)}, cs.UnsupportedLayer, "'LazyLinear' is lazy"),
        ({"model": nn.Linear(4, 2)}, cs.UnreadableModel, r"\(1, 3\) in .*fitting shape"),
        ({"model": Of(lambda x: x.float())}, cs.UnreadableModel, "returns .*float32"),
        ({"model": Of(lambda x: x.argmax())}, cs.UnreadableModel, "no tensor of real"),
        ({"model": Of(lambda x: x.detach())}, cs.UnreadableModel, "be differentiable"),
        ({"model": Of(lambda x: x / 0)}, cs.UnreadableModel, "give finite outputs"),
        (
            {"model": Of(lambda x: x + torch.rand(3, dtype=x.dtype))},
            cs.UnreadableModel,
            "one output for one input",
        ),
        ({"shape": ()}, cs.GeometryError, r"shape must be positive integers .* got \(\)"),
        ({"shape": (3, 0)}, cs.GeometryError, r"got \(3, 0\)"),
        ({"shape": 3}, cs.GeometryError, "got 3"),
        ({"starts": [1.0]}, TypeError, "starts must be a tensor of real numbers"),
        (
            {"starts": torch.ones(2, 4)},
            cs.GeometryError,
            r"shape \(3,\), or .* got \(2, 4\)",
        ),
        ({"starts": torch.ones(3) / 0}, cs.NotFiniteError, "starts must be finite"),
        ({"seconds": 0}, ValueError, "seconds must be a positive number; got 0"),
        ({"seconds": math.nan}, ValueError, "seconds must be .* got nan"),
        ({"seconds": "1"}, ValueError, "seconds must be .* got '1'"),
        ({"steps": -1}, ValueError, "steps must be an integer of at least 0; got -1"),
        ({"seed": 1.5}, ValueError, "seed must be an integer .* got 1.5"),
    ],
)
def test_refusals(changed: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        refuse(**changed)


def test_model_that_cannot_be_copied() -> None:
    class Held(nn.ReLU):
        def __deepcopy__(self, memo: Any) -> Held:
            raise RuntimeError("holds a lock")

    with pytest.raises(cs.UnreadableModel, match=r"copy\.deepcopy.*holds a lock"):
        attained(Held(), (3,))
