"""The ladder of bounds: every row its numbers, its side, or the reason it has none."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

import convspec as cs
from convspec import plot
from convspec.plot.palette import ENCLOSED
from tests.drawn import legend


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def bound(
    name: str, lower: float, upper: float, guarantee: str = "certified"
) -> cs.Bound:
    return cs.Bound(lower, upper, name, "any", "no one", guarantee)


REASON = "gram must have zero padding; this one has another; call supremum"
ROWS = [
    bound("upper", 0, 8),
    bound("both", 3, 4),
    bound("lower", 2, math.inf),
    cs.NotApplicable(REASON, "gram"),
    bound("likely", 1, 5, "probabilistic"),
    bound("guess", 0, 2, "estimate"),
]


def names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def marks(ax: Axes, name: str) -> dict[str, float]:
    """Marker -> value, of the row with this name."""
    place = names(ax).index(name)
    found = [x for x in ax.lines if set(x.get_ydata()) == {place}]
    return {
        str(x.get_marker()): float(x.get_xdata()[0])
        for x in found
        if x.get_marker() not in ("None", "")
    }


def words(ax: Axes, name: str) -> list[str]:
    place = names(ax).index(name)
    return [text.get_text() for text in ax.texts if text.get_position()[1] == place]


def band(ax: Axes) -> Rectangle:
    (found,) = [p for p in ax.patches if to_hex(p.get_facecolor()) == to_hex(ENCLOSED)]
    assert isinstance(found, Rectangle)
    return found


def test_upper_ends_point_left_and_lower_ones_right() -> None:
    ax = plot.bounds(ROWS)
    assert marks(ax, "upper") == {"<": 8}
    assert marks(ax, "both") == {"<": 4, ">": 3}
    assert marks(ax, "lower") == {">": 2}
    assert marks(ax, "gram") == {}
    assert ax.get_xscale() == "log"
    left, right = ax.get_xlim()
    assert 0 < left < 1
    assert right > 8
    ax.get_figure().canvas.draw()


def test_guarantees_look_different() -> None:
    ax = plot.bounds(ROWS)
    assert marks(ax, "likely") == {"<": 5, ">": 1}
    assert marks(ax, "guess") == {"3": 2}  # another marker: grey print has no colours
    faces = {
        str(x.get_label()): x.get_markerfacecolor()
        for x in ax.get_legend().legend_handles[:3]
    }
    assert faces["certified"] != "white"
    assert faces["with probability"] == "white"
    assert legend(ax)[:3] == ["certified", "with probability", "no guarantee"]


def test_rows_descend_to_the_enclosure_and_inapplicable_ones_come_last() -> None:
    order = ["upper", "likely", "both", "guess", "lower", "gram"]
    assert names(plot.bounds(ROWS)) == order
    assert names(plot.bounds(ROWS, sort=False)) == [row.name for row in ROWS]
    bottom, top = plot.bounds(ROWS).get_ylim()
    assert bottom > len(ROWS) - 0.75 > 0 > top


def test_inapplicable_rows_are_grey_and_say_why() -> None:
    ax = plot.bounds(ROWS)
    assert words(ax, "gram") == ["n/a: must have zero padding"]
    label = ax.get_yticklabels()[names(ax).index("gram")]
    assert label.get_color() == "0.6"
    assert words(plot.bounds(ROWS, reasons=False), "gram") == ["n/a"]
    long = cs.NotApplicable("a " * 80, "long")
    (text,) = words(plot.bounds([long]), "long")
    assert len(text) < 60
    assert text.endswith("\u2026")


def test_the_enclosure_is_the_tightest_of_the_certified_ends() -> None:
    ax = plot.bounds(ROWS)
    assert (band(ax).get_x(), band(ax).get_width()) == (3, 1)
    assert legend(ax)[-1] == "tightest: 3 \u2264 \u03c3\u2081 \u2264 4"
    assert words(ax, "upper") == words(ax, "lower") == []


def test_the_lower_end_of_a_probabilistic_bound_is_certified() -> None:
    likely = bound("likely", 3.5, 3.6, "probabilistic")
    ax = plot.bounds([*ROWS, likely])
    assert (band(ax).get_x(), band(ax).get_width()) == pytest.approx((3.5, 0.5))


def test_ratios_to_the_truth_if_it_is_given() -> None:
    ax = plot.bounds(ROWS, truth=bound("spectral_norm", 3, 4))
    assert words(ax, "upper") == ["\u00d72"]
    assert words(ax, "lower") == ["\u00d70.6667"]


def test_an_operator_is_refused_with_what_to_pass() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 5)
    with pytest.raises(TypeError, match=r"pass convspec\.bounds\.table\(op\)"):
        plot.bounds(op)  # type: ignore[arg-type]
    assert plt.get_fignums() == []


def test_the_enclosure_may_be_given() -> None:
    ax = plot.bounds(ROWS, truth=bound("spectral_norm", 3.2, 3.200001))
    assert (band(ax).get_x(), band(ax).get_width()) == pytest.approx((3.2, 1e-6))
    # upper ends are printed rounded up
    assert legend(ax)[-1] == "spectral_norm: \u03c3\u2081 \u2264 3.2001, gap 3e-07"


def test_table_of_an_operator() -> None:
    torch.manual_seed(0)
    op = cs.ConvOperator(torch.randn(3, 2, 3, 3, dtype=torch.float64), (5, 5), padding=1)
    table = cs.bounds.table(op)
    ax = plot.bounds(table, truth=cs.spectral_norm(op))
    assert sorted(names(ax)) == sorted(row.name for row in table)
    for row in table:
        assert isinstance(row, cs.Bound)
        drawn = marks(ax, row.name)
        ends = [x for x in (row.lower, row.upper) if 0 < x < math.inf]
        assert sorted(drawn.values()) == ends


def test_zero_operator() -> None:
    op = cs.ConvOperator(torch.zeros(1, 1, 3), 5)
    ax = plot.bounds(cs.bounds.table(op))
    ax.get_figure().canvas.draw()
    assert ax.get_xlim()[0] > 0


def test_nothing_applies() -> None:
    ax = plot.bounds([ROWS[3]])
    ax.get_figure().canvas.draw()
    assert legend(ax) == []


def test_options_go_to_the_markers() -> None:
    ax = plot.bounds(ROWS[:1], markersize=11)
    assert {x.get_markersize() for x in ax.lines if x.get_marker() == "<"} == {11}


@pytest.mark.parametrize("wrong", [[], [1.0, 2.0], ["gram"]], ids=str)
def test_other_data_are_refused(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match=r"must be given as convspec.bounds.table"):
        plot.bounds(wrong)  # type: ignore[arg-type]
    assert plt.get_fignums() == []
