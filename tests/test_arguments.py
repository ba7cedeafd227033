"""What is refused is refused in words: what must hold, what was given, what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.arguments import shown

SMALL = cs.ConvOperator(torch.ones(1, 1, 3), 5, padding=1)
BAD = [
    (
        "reflect-not-smaller",
        {"padding": (0, 5), "padding_mode": "reflect"},
        r"smaller than the input.*; axis 1 has size 5 and padding \(5, 5\); .*replicate",
    ),
    (
        "circular-wraps-twice",
        {"padding": 5, "padding_mode": "circular"},
        r"not wrap more than once.*axis 0 has size 4 and padding \(5, 5\); pad less",
    ),
    (
        "output-below-one",
        {"dilation": (1, 3)},
        r"kernel's extent.*axis 1 has 0 \+ 5 \+ 0 = 5 padded pixels and extent 7; use",
    ),
    (
        "same-strided",
        {"padding": "same", "stride": 2},
        r"'same' needs stride 1.*2, 2\)",
    ),
    (
        "groups-not-dividing",
        {"groups": 2},
        r"divide the output channels; .*groups=2 .*3",
    ),
    ("groups-zero", {"groups": 0}, r"groups must be .* at least 1; got 0"),
    (
        "stride-entries",
        {"stride": (1, 2, 3)},
        r"stride must be .*2 integers.*\(1, 2, 3",
    ),
    ("stride-zero", {"stride": (1, 0)}, r"stride must be .* at least 1; got \(1, 0\)"),
    ("stride-float", {"stride": 1.5}, r"stride must be an integer.*got 1\.5"),
    ("stride-string", {"stride": "12"}, r"stride must be an integer.*got '12'"),
    ("stride-bool", {"stride": True}, r"stride must be an integer.*got True"),
    ("dilation-zero", {"dilation": 0}, r"dilation must be .* at least 1; got 0"),
    ("padding-negative", {"padding": -1}, r"non-negative.*got -1"),
    (
        "padding-negative-circular",
        {"padding": (0, -1), "padding_mode": "circular"},
        r"non-negative.*got \(0, -1\)",
    ),
    ("padding-entries", {"padding": (1, 1, 1, 1)}, r"2 spatial axes; got \(1, 1, 1, 1\)"),
    ("padding-triple", {"padding": ((1, 1, 1), 0)}, r"\(before, after\) pair.*1, 1, 1"),
    ("padding-float", {"padding": (0.5, 1)}, r"padding must be.*got \(0\.5, 1\)"),
    ("padding-word", {"padding": "full"}, r"'same', 'valid'.*got 'full'"),
    (
        "mode-unknown",
        {"padding_mode": "mirror"},
        r"zeros, circular, reflect, replicate, symmetric, or .*; got 'mirror'; "
        "'mirror' is called 'reflect' here",
    ),
    (
        "mode-of-an-axis-unknown",
        {"padding_mode": ("zeros", "cyclic")},
        r"must be one of .*; got \('zeros', 'cyclic'\)$",
    ),
    (
        "modes-too-many",
        {"padding_mode": ["zeros"] * 3},
        r"must be one name, or 2 \(one per spatial axis\); got \['zeros', ",
    ),
    (
        "channels-in-size",
        {"input_size": (2, 4, 5)},
        r"input_size must be .*2 integers.*got \(2, 4, 5\); leave the channels out",
    ),
    (
        "size-zero",
        {"input_size": (4, 0)},
        r"input_size .* at least 1; got \(4, 0\)",
    ),
    (
        "output-padding-on-convolution",
        {"output_padding": 1},
        r"output_padding is for transposed convolutions; got 1 with transposed=False",
    ),
    ("bias-shape", {"bias": torch.zeros(2)}, r"bias must have shape \(3,\).*got \(2,\)"),
    (
        "transposed-circular",
        {"transposed": True, "padding_mode": "circular"},
        r"'zeros' only, as in torch; got 'circular'; .*ConvOperator\(\.\.\.\)\.T",
    ),
    (
        "transposed-same",
        {"transposed": True, "padding": "same"},
        r"transposed convolution must be integers; got 'same'",
    ),
    (
        "transposed-output-padding",
        {"transposed": True, "stride": (2, 1), "output_padding": (1, 1)},
        r"smaller than stride or dilation; axis 1 has output_padding 1, stride 1",
    ),
    (
        "transposed-output-below-one",
        {"transposed": True, "padding": (0, 4)},
        r"at least 1; axis 1 gives \(5 - 1\) \* 1 - 4 - 4 \+ 3 \+ 0 = -1",
    ),
    (
        "transposed-groups",
        {"transposed": True, "groups": 2},
        r"groups must divide the input channels; got groups=2 for 3 channels",
    ),
    (
        "weight-matrix",
        {"weight": torch.zeros(3, 2)},
        r"1, 2 or 3 spatial dimensions; got shape \(3, 2\)",
    ),
    (
        "weight-4d",
        {"weight": torch.zeros(1, 1, 1, 1, 1, 1)},
        r"1, 2 or 3 spatial dimensions; got shape \(1, 1, 1, 1, 1, 1\)",
    ),
    (
        "weight-empty",
        {"weight": torch.zeros(3, 2, 0, 3)},
        r"no empty dimension; got shape \(3, 2, 0, 3\)",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "message"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD]
)
def test_message(arguments: dict[str, Any], message: str) -> None:
    given = {"weight": torch.zeros(3, 2, 3, 3), "input_size": (4, 5), **arguments}
    with pytest.raises(cs.GeometryError, match=message) as caught:
        cs.ConvOperator(**given)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, cs.ConvSpecError)


def test_layer_is_named_in_message() -> None:
    layer = torch.nn.Conv2d(2, 3, 3, padding=7, padding_mode="reflect")
    with pytest.raises(cs.GeometryError, match=r"^Conv2d\(2, 3, .*axis 0 has size 4"):
        cs.ConvOperator.from_layer(layer, (4, 5))


def test_integers_of_every_kind() -> None:
    """NumPy integers, lists and torch.Size mean what ints and tuples mean."""
    weight = torch.arange(18.0).reshape(1, 2, 3, 3)
    plain = cs.ConvOperator(weight, (6, 7), stride=(2, 1), padding=1, dilation=1)
    other = cs.ConvOperator(
        weight,
        torch.Size([6, 7]),
        stride=[np.int64(2), 1],
        padding=[(1, 1), np.int32(1)],
        dilation=np.int64(1),
    )
    assert torch.equal(plain.to_dense(), other.to_dense())


# -- once defects --------------------------------------------------------------------


def test_list_of_zero_output_padding() -> None:
    weight = torch.ones(1, 1, 3, 3)
    plain = cs.ConvOperator(weight, 4, output_padding=[0, 0])
    assert plain.shape == (4, 16)


def test_layer_with_one_tuples() -> None:
    layer = torch.nn.Conv2d(1, 1, 3, stride=(2,), padding=(1,), dilation=(1,))
    y = layer(torch.zeros(1, 1, 5, 7))
    assert cs.ConvOperator.from_layer(layer, (5, 7)).output_shape == y.shape[1:]


def test_arrays_are_sequences() -> None:
    weight = torch.ones(1, 1, 3, 3)
    plain = cs.ConvOperator(weight, (4, 6), stride=(1, 2), padding=(1, 0))
    other = cs.ConvOperator(
        weight, np.array([4, 6]), stride=np.array([1, 2]), padding=np.array([1, 0])
    )
    assert torch.equal(plain.to_dense(), other.to_dense())
    with pytest.raises(cs.GeometryError, match="output_padding is for transposed"):
        cs.ConvOperator(weight, 4, output_padding=np.array([1, 1]))


def test_one_tuple_of_padding_is_repeated_for_zeros_only() -> None:
    """With the other modes torch pads the last axis alone; that is refused here."""
    weight = torch.ones(1, 1, 3, 3)
    assert cs.ConvOperator(weight, 4, padding=(1,)).output_shape == (1, 4, 4)
    with pytest.raises(cs.GeometryError, match="2 spatial axes"):
        cs.ConvOperator(weight, 4, padding=(1,), padding_mode="circular")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: cs.to_matrix(torch.nn.Conv2d(3, 4, 3), x), "spatial axis"),
        (lambda x: cs.analyze(torch.nn.Conv2d(3, 4, 3), x), "pass tensors as inputs="),
        (lambda x: cs.ConvOperator(torch.ones(1, 1, 3, 3), 8, stride=x), "stride must"),
        (lambda x: cs.ConvOperator(torch.ones(1, 1, 3, 3), 8, padding=x), "padding must"),
        (lambda x: cs.spectrum(SMALL, x), "k must be"),
        (lambda x: cs.spectral_envelope(SMALL, phases=x), "phases must be"),
        (lambda x: cs.plot.bounds(x), "bounds must be given"),
    ],
    ids=[
        "to_matrix",
        "analyze",
        "stride",
        "padding",
        "k",
        "phases",
        "plot",
    ],
)
@pytest.mark.parametrize("kind", ["Tensor", "ndarray", "list"])
def test_an_image_in_the_wrong_place_is_named_by_its_shape(
    call: Any, words: str, kind: str
) -> None:
    image: Any = torch.randn(1, 3, 16, 16)
    named = "a Tensor of shape (1, 3, 16, 16)"
    if kind == "ndarray":
        image, named = image.numpy(), "a ndarray of shape (1, 3, 16, 16)"
    elif kind == "list":
        image, named = [image], f"a list of 1: {named}"
    with pytest.raises((TypeError, ValueError, cs.ConvSpecError)) as caught:
        call(image)
    message = str(caught.value)
    assert words in message
    assert named in message or "must be given as" in message
    assert len(message) < 400


def test_short_arguments_are_shown_whole() -> None:
    assert shown((3, "same")) == "(3, 'same')"
    assert shown(torch.tensor([1, 2])) == "tensor([1, 2])"
    assert shown("x" * 200) == "'" + "x" * 99 + "..."
    assert shown(list(range(1000))) == "a list of 1000: 0, ..."
