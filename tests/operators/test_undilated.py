"""Dilated axes as undilated ones: their matrices, and norms that agree."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import event, given, settings

import convspec as cs
from convspec.operators.axis import Axis
from convspec.operators.undilated import largest_classes, undilated
from tests import oracles
from tests.gaussian import gaussian


@st.composite
def lines(draw: st.DrawFn) -> tuple[Axis, cs.ConvOperator]:
    """An axis with zero padding and its operator, of one channel."""
    kernel, dilation = draw(st.integers(2, 4)), draw(st.integers(1, 5))
    stride, size = draw(st.integers(1, 4)), draw(st.integers(1, 25))
    missing = max(0, dilation * (kernel - 1) + 1 - size)
    before = draw(st.integers(0, 14))
    after = draw(st.integers(max(0, missing - before), 14 + missing))
    weight = gaussian(draw(st.integers(0, 9)), 1, 1, kernel)
    op = cs.ConvOperator(
        weight, size, padding=((before, after),), dilation=dilation, stride=stride
    )
    return op.geometry.axes[0], op


@settings(max_examples=300)
@given(lines())
def test_the_largest_class_has_the_norm(line: tuple[Axis, cs.ConvOperator]) -> None:
    """Classes are no larger than A, and one of them has its norm."""
    _, op = line
    known = oracles.singular_values(op.to_dense().numpy())[0]
    parts = undilated(op)
    event(f"{len(parts)} parts")
    norms = [oracles.singular_values(part.to_dense().numpy())[0] for part in parts]
    assert max(norms) == pytest.approx(known, rel=1e-13, abs=1e-13)
    for part in parts:
        (axis,) = part.geometry.axes
        assert axis.dilation == 1 or parts == [op]
        assert axis.span >= axis.stride * (axis.output - 1) + axis.extent


@pytest.mark.parametrize(
    ("size", "options", "count"),
    [
        (64, {"dilation": 16, "padding": 16}, 1),
        (100, {"dilation": 16, "padding": 16}, 1),
        (40, {"dilation": 6, "stride": 4, "padding": 5}, 2),
        (40, {"dilation": 3, "padding": 3, "padding_mode": "circular"}, 1),
        (40, {"padding": 1}, 1),
    ],
)
def test_few_are_left(size: int, options: dict[str, object], count: int) -> None:
    op = cs.ConvOperator(gaussian(1, 1, 1, 3), size, **options)
    assert len(undilated(op)) == count
    assert max(part.shape[0] for part in undilated(op)) <= op.shape[0]


def test_nothing_read() -> None:
    axis = Axis(1, 1, 2, dilation=2, before=1, after=1)
    assert largest_classes(axis) == [axis]


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_spectral_norm(dim: int, transposed: bool) -> None:
    """Certified ends around the largest value of the matrix."""
    size = (17, 9, 5)[dim - 1]
    op = cs.ConvOperator(
        gaussian(dim, 3, 2, *[3] * dim),
        size,
        dilation=3,
        padding=2,
        stride=2,
        transposed=transposed,
    )
    bound = cs.spectral_norm(op)
    known = oracles.singular_values(op.to_dense().numpy())[0]
    assert bound.lower * (1 - 1e-13) <= known <= bound.upper * (1 + 1e-13)
    assert bound.gap < 1e-5


def test_norm_of_a_long_layer_is_that_of_a_short_one() -> None:
    weight = gaussian(3, 8, 8, 3)
    long = cs.spectral_norm(cs.ConvOperator(weight, 8000, padding=512, dilation=512))
    short = cs.spectral_norm(cs.ConvOperator(weight, 16, padding=1))
    assert (long.lower, long.upper) == (short.lower, short.upper)
    assert np.isclose(
        cs.spectrum(cs.ConvOperator(weight, 8000, padding=512, dilation=512)).norm,
        long.upper,
        rtol=1e-6,
        atol=0,
    )


def test_weights_that_vanish_in_a_class() -> None:
    """A class whose live taps are all 0 bounds nothing."""
    weight = torch.tensor([[[0.0, 0.0, 1.0]]])
    op = cs.ConvOperator(weight, 6, dilation=4, padding=((4, 3),))
    assert 1.0 in cs.spectral_norm(op)
