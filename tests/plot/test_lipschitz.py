"""The steps of a network's constant: every row its number or its reason, and the band."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convspec import plot
from convspec.network.result import NetworkBound, Step
from convspec.plot.palette import ENCLOSED, EXACT
from tests.drawn import legend

REASON = "does not apply: the torus holds no such thing; the scalar bounds hold"
STEPS = (
    Step("product", 1234.5, 0.1, "norms of all layers"),
    Step("ellipsoid", math.inf, 0.1, REASON),
    Step("dense ellipsoid", 45.678912, 1.0, "multipliers searched, vectors"),
)


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def bound(lower: float = 3.2112345, steps: tuple[Step, ...] = STEPS) -> NetworkBound:
    return NetworkBound(lower, min(step.upper for step in steps), steps)


def ends(ax: Axes) -> dict[int, tuple[float, str]]:
    """Of each row: where its marker stands, and its colour."""
    marks = [line for line in ax.lines if line.get_marker() == "<"]
    return {
        int(line.get_ydata()[0]): (float(line.get_xdata()[0]), to_hex(line.get_color()))
        for line in marks
    }


def band(ax: Axes) -> list[tuple[float, float]]:
    colour = to_hex(ENCLOSED)
    boxes = [p for p in ax.patches if isinstance(p, Rectangle)]
    found = [box for box in boxes if to_hex(box.get_facecolor()) == colour]
    return [(box.get_x(), box.get_x() + box.get_width()) for box in found]


def test_every_step_has_its_row() -> None:
    ax = plot.lipschitz(bound())
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["product", "ellipsoid", "dense ellipsoid"]
    assert ax.yaxis_inverted()
    found = ends(ax)
    assert {place: x for place, (x, _) in found.items()} == {0: 1234.5, 2: 45.678912}
    assert found[2][1] == to_hex(EXACT) != found[0][1]
    assert ax.get_xscale() == "log"


def test_numbers_are_rounded_outward() -> None:
    ax = plot.lipschitz(bound())
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["\u2264 1235", "the torus holds no such thing", "\u2264 45.68"]
    assert legend(ax) == [
        "certified: L \u2264 45.679",
        "two inputs: L \u2265 3.2112",
    ]


def test_the_band_is_where_the_constant_is() -> None:
    [(left, right)] = band(plot.lipschitz(bound()))
    assert (left, right) == pytest.approx((3.2112345, 45.678912), rel=1e-12)


def test_no_band_without_a_pair() -> None:
    ax = plot.lipschitz(bound(0.0))
    assert not band(ax)
    assert len(legend(ax)) == 1


@pytest.mark.parametrize("upper", [0.0, 1e-320, 1e-300, 1.0, 1e300, 1.7e308, math.inf])
@pytest.mark.parametrize("lower", [0.0, 1e-310, 1.0])
def test_numbers_of_all_sizes(lower: float, upper: float) -> None:
    steps = (Step("product", upper, 0.1, "norms"), Step("fused", upper, 0.1, "norms"))
    ax = Figure(layout="constrained").subplots()
    plot.lipschitz(NetworkBound(min(lower, upper), upper, steps), ax=ax)
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    assert 0 < low < high < math.inf


def test_long_reasons_are_cut_at_a_word() -> None:
    words = "does not apply: " + "several words of a reason " * 5
    steps = (*STEPS[:1], Step("ellipsoid", math.inf, 0.1, words))
    [_, text] = [text.get_text() for text in plot.lipschitz(bound(1.0, steps)).texts]
    assert text.endswith(" \u2026")
    assert len(text) < 50


def test_names_in_reasons_are_no_mathematics_and_do_not_act() -> None:
    words = "does not apply: module $\\frac$ \x1b[31m"
    steps = (*STEPS[:1], Step("ellipsoid", math.inf, 0.1, words))
    ax = plot.lipschitz(bound(1.0, steps))
    ax.figure.canvas.draw()
    assert ax.texts[1].get_text() == r"module $\frac$ \x1b[31m"


@pytest.mark.parametrize("wrong", [3.0, None, [bound()], STEPS])
def test_only_bounds_of_networks(wrong: object) -> None:
    with pytest.raises(TypeError, match="lipschitz draws a NetworkBound; got"):
        plot.lipschitz(wrong)
