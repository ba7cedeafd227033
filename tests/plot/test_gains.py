"""Constants along the depth of a network as a picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

import convspec as cs
from convspec.network.depth import Depth
from convspec.network.result import NetworkBound, Step
from convspec.plot import gains

ALONG = (
    Depth("first, a.py:1", 10.0, 10.0, 5.0),
    Depth("relu", 1.0, 10.0, 4.0),
    Depth("last, a.py:3", 100.0, 1000.0, 8.0),
)


def bound(depth: tuple[Depth, ...] = ALONG, lower: float = 8.0) -> NetworkBound:
    return NetworkBound(lower, 100.0, (Step("ellipsoid", 100.0, 1.0, ""),), depth=depth)


def test_lines_are_logarithms() -> None:
    ax = gains(bound())
    upper, lower, end, start, _ = ax.get_lines()
    assert upper.get_ydata() == pytest.approx([1.0, 1.0, 3.0])
    assert lower.get_ydata() == pytest.approx(np.log10([5.0, 4.0, 8.0]))
    assert (list(end.get_xdata()), list(end.get_ydata())) == ([3], [2.0])
    assert list(start.get_ydata()) == [math.log10(8.0)]


def test_without_a_pair_there_is_one_line() -> None:
    alone = tuple(Depth(each.name, each.factor, each.upper) for each in ALONG)
    legend = gains(bound(alone, 0.0)).figure.legends or [gains(bound(alone)).get_legend()]
    words = [text.get_text() for text in legend[0].get_texts()]
    assert words == ["certified: product of norms", "certified: ellipsoid"]


def test_constants_of_zero_leave_gaps() -> None:
    zero = (Depth("zero", 0.0, 0.0, 0.0), *ALONG)
    upper = gains(bound(zero)).get_lines()[0]
    assert np.isnan(upper.get_ydata()[0])


def test_a_certificate_has_no_tensors() -> None:
    with pytest.raises(cs.NotApplicable, match="a certificate does not"):
        gains(bound(()))


@pytest.mark.parametrize("wrong", [None, 3, ALONG])
def test_anything_else_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="gains draws a NetworkBound"):
        gains(wrong)  # type: ignore[arg-type]
