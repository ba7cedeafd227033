"""Values come back from text and arrays as they were, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import convspec as cs
from convspec.cache import Codec, Refused
from convspec.report.stored import CLASSES
from tests.cache.same import assert_same

CODEC = Codec(CLASSES)


def back(value: object, codec: Codec = CODEC) -> Any:
    text, arrays = codec.encoded(value)
    assert json.loads(text) is not ...
    return codec.decoded(text, arrays)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        10**400,
        "\N{GREEK SMALL LETTER SIGMA}\n\x00",
        (),
        ((1, 2.5), [None, ()], {"a": (0.1,), "": {}}),
        {"float": ["object", "Bound"]},
        np.float64(0.1),
        np.int8(-3),
        np.zeros((0, 3)),
        np.arange(12).reshape(3, 4).T,
        np.array([math.nan, -0.0, math.inf, 5e-324]),
        np.array([1 + 2j], dtype=np.complex64),
        torch.tensor(1.5, dtype=torch.float64),
        torch.tensor([[1.5, -0.0]], dtype=torch.bfloat16),
        torch.tensor(-0.0, dtype=torch.bfloat16),
        torch.tensor([1 + 2j], dtype=torch.complex64).conj(),
    ],
    ids=repr,
)
def test_round_trip(value: object) -> None:
    assert_same(back(value), value)


def test_floats_to_the_last_bit() -> None:
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2**64, 2000, dtype=np.uint64)
    for value in [*bits.view(np.float64).tolist(), 0.0, -0.0, math.inf, -math.inf]:
        found = back(value)
        if math.isnan(value):
            assert math.isnan(found)
        else:
            assert struct.pack("d", found) == struct.pack("d", value)


@pytest.mark.parametrize("writeable", [True, False])
def test_arrays_stay_as_writeable_as_they_were(writeable: bool) -> None:
    array = np.ones(3)
    array.setflags(write=writeable)
    assert back(array).flags.writeable == writeable


def test_gradients_are_not_kept() -> None:
    found: Tensor = back(torch.ones(2, dtype=torch.float64, requires_grad=True) * 2)
    assert not found.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
def test_results_of_calls(dtype: torch.dtype) -> None:
    op = cs.ConvOperator(torch.randn(2, 2, 3, 3, dtype=dtype), (6, 5), padding=1)
    for value in (
        cs.spectrum(op),
        cs.spectrum(op.circular()),
        cs.spectrum(op, 2, vectors=True),
        cs.spectral_envelope(op),
        cs.spectral_norm(op),
        cs.worst_case_norm(op),
    ):
        assert_same(back(value), value)


class Other:
    """Of no class that may occur."""


@pytest.mark.parametrize(
    "value",
    [Other(), {1, 2}, b"", 1j, np.array([object()]), np.array(["a"]), torch.Size([1])],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_form(value: object) -> None:
    with pytest.raises(Refused):
        CODEC.encoded(((value,),))


@dataclasses.dataclass
class Enclosure:
    """Of the name of another class."""

    lower: float
    upper: float


def test_a_class_of_the_same_name_is_another() -> None:
    with pytest.raises(Refused, match="no form of Enclosure"):
        CODEC.encoded(Enclosure(0.0, 1.0))


ENDS = ["float", "0x0p+0"]


@pytest.mark.parametrize(
    "form",
    [
        ["object", "Popen", {}],
        ["object", "Enclosure", {"lower": ENDS}],
        ["object", "Enclosure", {"lower": ENDS, "upper": ENDS, "more": 1}],
        ["object", "Enclosure", {"lower": ["float", "inf"], "upper": ENDS}],
        ["object", "Enclosure", [1, 2]],
        ["object", "Enclosure"],
        ["object"],
        ["float", "one"],
        ["float"],
        ["array", "7", True],
        ["tensor", "0", "torch.load"],
        ["_object", "0"],
        [],
        [["tuple"]],
        {"lower": 1},
        1.5,
    ],
    ids=repr,
)
def test_forms_of_no_value(form: object) -> None:
    with pytest.raises(Refused):
        CODEC.decoded(json.dumps(form), {"0": np.zeros(2)})


@pytest.mark.parametrize("text", ["", "nothing", "[" * 100_000, '["tuple",'])
def test_texts_that_are_none(text: str) -> None:
    with pytest.raises(Refused):
        CODEC.decoded(text, {})
