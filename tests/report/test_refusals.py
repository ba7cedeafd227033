"""What ``analyze`` refuses, in which words, and what it reports all the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convspec as cs


class Scaled(nn.Conv2d):
    """Computes something else than torch's convolution."""

    def forward(self, x: Tensor, factor: float = 2.0) -> Tensor:
        return factor * super().forward(x)


class Rewired(nn.Conv2d):
    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight * 2, bias)


def conv() -> nn.Conv2d:
    return nn.Conv2d(1, 1, 3, padding=1)


# -- arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [{}, {"input_shape": (1, 4, 4), "inputs": [torch.zeros(1, 1, 4, 4)]}],
    ids=["neither", "both"],
)
def test_exactly_one_of_shape_and_inputs(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="either input_shape or inputs, and not both"):
        cs.analyze(conv(), **given)


@pytest.mark.parametrize(
    "shape",
    [
        (),
        [()],
        (0, 4, 4),
        (1, -4, 4),
        (1, 4.0, 4),
        (1, None, 4),
        "1x4x4",
        [(1, 4, 4), 5],
        [(1, 4, 4), (1, 4, "4")],
        [(1, 4, 4), (1, 0, 4)],
    ],
    ids=repr,
)
def test_bad_shapes(shape: Any) -> None:
    with pytest.raises(cs.UnreadableModel, match="input_shape must be positive") as info:
        cs.analyze(conv(), shape)
    assert repr(shape) in str(info.value)


def test_numpy_integers_are_a_shape() -> None:
    report = cs.analyze(nn.Conv2d(1, 1, 3), tuple(np.array([1, 4, 5])))
    assert report.layers[0].operator.input_shape == (1, 4, 5)
    assert repr(report.input_shape) == "(1, 4, 5)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_flops", -1),
        ("max_flops", math.nan),
        ("max_bytes", -1),  # what is no number is in test_wrong_objects
        ("envelope_flops", -1),
        ("envelope_flops", math.nan),
    ],
)
def test_limits_are_numbers_of_at_least_0(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 0; got {value!r}"):
        cs.analyze(nn.Conv2d(1, 1, 3), (1, 4, 4), **{name: value})


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"takes a torch.nn.Module; got function"):
        cs.analyze(lambda x: x, (1, 4, 4))


def test_integer_as_shape() -> None:
    with pytest.raises(cs.UnreadableModel, match="input_shape must be positive"):
        cs.analyze(nn.Linear(4, 4), 4)


# -- models that do not run -------------------------------------------------------------


def test_model_that_fails_names_inputs_and_error() -> None:
    with pytest.raises(cs.UnreadableModel) as info:
        cs.analyze(nn.Sequential(nn.Conv2d(3, 1, 3)), (2, 8, 9))
    message = str(info.value)
    assert "[(1, 2, 8, 9)]" in message
    assert "RuntimeError: " in message
    assert "expected input[1, 2, 8, 9] to have 3 channels" in message
    assert "input_shape" in message
    assert isinstance(info.value.__cause__, RuntimeError)


def test_model_called_with_too_few_inputs_names_them() -> None:
    with pytest.raises(cs.UnreadableModel, match=r"TypeError: .* missing 1") as info:
        cs.analyze(nn.Bilinear(2, 2, 2), [(2,)])
    assert "[(1, 2)]" in str(info.value)


def test_inputs_that_are_no_tensors_are_named_by_type() -> None:
    with pytest.raises(cs.UnreadableModel, match=r"given .*'str'.* raised TypeError"):
        cs.analyze(nn.ReLU(), inputs=["image.png"])


# -- layers -----------------------------------------------------------------------------


def test_lazy_layer_is_named() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ModuleDict({"late": nn.LazyConv2d(2, 3)})
    )
    with pytest.raises(cs.UnsupportedLayer, match=r"'1\.late' is lazy") as info:
        cs.analyze(model, (1, 8, 8))
    assert "run the model once" in str(info.value)


LAZY_FIRST = [
    pytest.param(
        {"input_shape": (1, 8, 8)},
        id="input_shape",
    ),
    pytest.param({"inputs": [torch.zeros(1, 1, 8, 8)]}, id="inputs"),
]


@pytest.mark.parametrize("given", LAZY_FIRST)
def test_lazy_layer_that_comes_first_is_named(given: dict[str, Any]) -> None:
    model = nn.Sequential(nn.LazyConv2d(2, 3), nn.ReLU())
    with pytest.raises(cs.UnsupportedLayer, match="'0' is lazy"):
        cs.analyze(model, **given)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["weight", "bias"])
def test_layer_that_is_not_finite_says_so(where: str, value: float) -> None:
    model = nn.Sequential(conv())
    model.add_module("bad", conv())
    with torch.no_grad():
        getattr(model.bad, where).view(-1)[0] = value
    first, bad = cs.analyze(model, (1, 4, 4))
    assert first.spectrum is not None
    assert (bad.name, bad.operator) == ("bad", None)
    assert bad.reason.startswith(f"the {where} must be")


def test_layer_that_is_not_finite_and_not_called_is_no_obstacle() -> None:
    model = nn.Sequential(conv())
    model.spare = conv()
    with torch.no_grad():
        model.spare.weight.fill_(torch.nan)
    model.forward = lambda x: model[0](x)
    assert cs.analyze(model, (1, 4, 4)).unused == ("spare",)


@pytest.mark.parametrize(
    ("make", "factor"), [(Scaled, 1.0), (Rewired, 2.0)], ids=["forward", "_conv_forward"]
)
def test_overriding_layer_is_what_it_calls(make: Any, factor: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(conv(), make(1, 1, 3, padding=1), conv())
    report = cs.analyze(model, (1, 4, 4))
    assert [(row.name, row.method) for row in report] == [
        ("0", "dense"),
        ("1", "dense"),
        ("2", "dense"),
    ]
    op = cs.ConvOperator(factor * model[1].weight, (4, 4), padding=1)
    assert np.array_equal(report["1"].spectrum.values, cs.spectrum(op).values)
    assert report["1"].type == make.__name__


def test_layer_that_calls_no_convolution_is_no_row() -> None:
    model = nn.Sequential(conv(), conv())
    model[1].forward = lambda x: x
    report = cs.analyze(model, (1, 4, 4))
    assert [row.name for row in report] == ["0"]
    assert report.unused == ("1",)


def test_overriding_layer_called_by_its_own_keyword() -> None:
    model = nn.Sequential(Scaled(1, 1, 3), conv())
    model.forward = lambda image: model[1](model[0](x=image, factor=3.0))
    report = cs.analyze(model, (1, 6, 6))
    assert [row.method for row in report] == ["dense", "dense"]


def test_transposed_layer_called_with_an_output_size() -> None:
    """The row must not be exact for another operator than the one that was called."""
    up = nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1)
    model = nn.Sequential(up)
    model.forward = lambda x: up(x, output_size=[8])
    (row,) = cs.analyze(model, (1, 4))
    assert row.operator.output_shape == (1, 8)
