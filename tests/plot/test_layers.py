"""A network at a glance: one row per layer, every row what its spectrum says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

import convspec as cs
from convspec import plot
from convspec.bounds import WorstCase
from convspec.plot.palette import ENCLOSED, EXACT
from convspec.report.known import Enclosed, Exact, NotKnown, Singular
from tests.drawn import legend, made_up, made_up_band


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def row(
    name: str,
    exact: Sequence[float] | None = None,
    band: cs.Envelope | None = None,
    norm: tuple[float, float] | None = None,
    worst: float | None = None,
) -> cs.LayerReport:
    op = cs.ConvOperator(torch.ones(1, 1, 3, 3), 5, stride=2)
    ends = norm or (None if band is None else band.norm)
    known: Singular = NotKnown()
    if exact is not None:
        known = Exact(made_up(exact))
    elif ends is not None:
        known = Enclosed(cs.Bound(*ends, "norm", "", ""), op.shape, band)
    return cs.LayerReport(
        name,
        "Conv2d",
        1,
        None if isinstance(known, NotKnown) else op,
        known,
        worst_case=None if worst is None else WorstCase(0.0, worst, "worst", "", ""),
    )


def draw(*rows: cs.LayerReport, **options: Any) -> Axes:
    ax = plot.layers(cs.ModelReport(rows, (1, 5, 5)), **options)
    ax.get_figure().canvas.draw()
    return ax


def bars(ax: Axes, place: int) -> list[Rectangle]:
    found = [p for p in ax.patches if isinstance(p, Rectangle)]
    return [p for p in found if round(p.get_y() + p.get_height() / 2, 9) == place]


def markers(ax: Axes, place: int) -> dict[str, Line2D]:
    return {
        line.get_marker(): line for line in ax.lines if set(line.get_ydata()) == {place}
    }


def words(ax: Axes, place: int) -> list[str]:
    """Texts of a row, from left to right."""
    places = [(getattr(text, "xy", text.get_position()), text) for text in ax.texts]
    found = [(x, text.get_text()) for (x, y), text in places if y == place]
    return [text for _, text in sorted(found) if text]


def span(bar: Rectangle) -> tuple[float, float]:
    return bar.get_x(), bar.get_x() + bar.get_width()


VALUES = [8.0, 6.0, 4.0, 2.0, 1.0]


def test_exact_row() -> None:
    ax = draw(row("conv", VALUES))
    whole, middle = bars(ax, 0)
    assert span(whole) == pytest.approx((1, 8))
    assert span(middle) == pytest.approx((2, 6))
    for bar in (whole, middle):
        assert to_hex(bar.get_facecolor()) == EXACT.lower()
        assert not bar.get_hatch()
    assert whole.get_alpha() or whole.get_facecolor()[3] < 1
    assert middle.get_facecolor()[3] == 1
    found = markers(ax, 0)
    assert set(found) == {"|", "."}
    assert found["|"].get_xdata().tolist() == [4.0]
    assert found["."].get_xdata().tolist() == [8.0]


LOWER = [7.0, 5.0, 3.0, 1.0, 0.5]
BAND = made_up_band(LOWER, VALUES)


def test_enclosed_row_lies_within_its_bars() -> None:
    ax = draw(row("exact", VALUES), row("enclosed", band=BAND))
    whole, middle = bars(ax, 1)
    assert span(whole) == pytest.approx((0.5, 8))  # from the least to the most possible
    assert span(middle) == pytest.approx((1, 6))
    assert to_hex(whole.get_facecolor()) == to_hex(middle.get_facecolor())
    assert to_hex(whole.get_facecolor()) == ENCLOSED.lower()
    assert whole.get_hatch()
    assert ENCLOSED != EXACT
    found = markers(ax, 1)
    assert set(found) == {"|"}  # the norm's bracket, and no median
    assert found["|"].get_xdata().tolist() == [7.0, 8.0]


def test_quartiles_of_which_nothing_is_known_are_not_drawn() -> None:
    """The strongest colour is for what is known best."""
    nothing = row("nothing", band=made_up_band([0.0] * 5, [8.0] * 5))
    little = row("little", band=made_up_band([0.0] * 5, [8.0, 8.0, 8.0, 4.0, 4.0]))
    ax = draw(nothing, row("exact", VALUES))
    assert len(bars(ax, 0)) == 1
    assert "middle half lies within" not in legend(ax)
    assert "all values lie within" in legend(ax)
    ax = draw(nothing, row("some", band=BAND), little)
    assert [len(bars(ax, place)) for place in range(3)] == [1, 2, 1]
    assert "middle half lies within" in legend(ax)


@pytest.mark.parametrize("enclosed", [False, True], ids=["exact-only", "with-enclosed"])
def test_legend_names_what_there_is(enclosed: bool) -> None:
    rows = [row("a", VALUES)] + [row("b", band=BAND, worst=20.0)] * enclosed
    entries = legend(draw(*rows))
    more = ["all values lie within", "middle half lies within"] * enclosed
    bracket = ["norm, certified ends", "worst case over sizes, certified"] * enclosed
    exact = ["all values, exact", "middle half, exact"]
    assert entries == [*exact, *more, "norm", *bracket]


def test_worst_case_is_a_diamond_where_it_is_beyond_the_norm() -> None:
    ax = draw(row("far", VALUES, worst=10.0), row("near", VALUES, worst=8.0001))
    assert markers(ax, 0)["D"].get_xdata().tolist() == [10.0]
    assert "D" not in markers(ax, 1)
    assert ax.get_xlim()[1] > 10
    ax = draw(row("far", VALUES, worst=10.0), worst_case=False)
    assert "D" not in markers(ax, 0)


def test_unbounded_ends_are_drawn_without_harm() -> None:
    band = made_up_band([1.0, 0.5], [np.inf, 2.0])
    ax = draw(row("odd", band=band, worst=np.inf), row("one", VALUES))
    assert "D" not in markers(ax, 0)


def test_the_largest_norms_are_written_out() -> None:
    rows = [row(str(j), [float(j + 1), 1.0]) for j in range(6)]
    rows.append(row("enclosed", band=BAND))
    ax = draw(*rows, offenders=2)
    bold = {text.get_text() for text in ax.texts if text.get_weight() == "bold"}
    assert bold == {"7 to 8", "6"}
    ax = draw(*rows, offenders=0)
    assert not [text for text in ax.texts if text.get_weight() == "bold"]


def test_written_norms_end_within_the_axes_after_layout() -> None:
    """At their right stands the geometry; long names make the axes narrow."""
    name = "backbone.features.17.block.conv.0"
    ax = draw(row("one", [1.0, 1e-5]), row(name, norm=(2.345, 7.53)))
    ax.figure.canvas.draw()
    (longest, _) = sorted(
        (text.get_window_extent() for text in ax.texts if text.get_weight() == "bold"),
        key=lambda box: -box.x1,
    )
    assert longest.x1 <= ax.get_window_extent().x1


def test_norm_alone() -> None:
    ax = draw(row("one", VALUES), row("norm", norm=(2.0, 3.0)))
    assert bars(ax, 1) == []
    assert markers(ax, 1)["|"].get_xdata().tolist() == [2.0, 3.0]
    assert "norm only" in words(ax, 1)


def test_names_are_legible_or_left_out() -> None:
    figure = Figure(figsize=(7, 9))
    rows = [row(f"layer {j}", VALUES) for j in range(150)]
    rows[41] = row("layer 41", [9.0, 1.0])
    ax = plot.layers(cs.ModelReport(tuple(rows), (1,)), ax=figure.add_subplot())
    labels = ax.get_yticklabels()
    assert min(label.get_fontsize() for label in labels) >= 3.5
    figure = Figure(figsize=(7, 4))
    ax = plot.layers(cs.ModelReport(tuple(rows), (1,)), ax=figure.add_subplot())
    labels = ax.get_yticklabels()
    assert 40 <= len(labels) <= 75
    height = 72 * ax.get_window_extent().height / figure.dpi
    places = [int(label.get_text().split()[1]) for label in labels]
    assert min(np.diff(places)) > 1
    assert "layer 41" in {label.get_text() for label in labels}  # a worst offender
    sizes = sum(label.get_fontsize() for label in labels)
    assert sizes < 1.05 * height


@pytest.mark.parametrize("count", [0, 1, 5, 150])
def test_any_number_of_rows(count: int) -> None:
    names = [f"features.{j}.conv" for j in range(count)]
    ax = draw(*(row(name, [1.0 + j, 0.5]) for j, name in enumerate(names)))
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert ax.get_yticks().tolist() == list(range(count))
    assert [len(bars(ax, j)) for j in range(count)] == [2] * count
    bottom, top = ax.get_ylim()
    assert bottom > count - 0.75  # downwards, no row cut off
    assert top < -0.25


def test_more_rows_make_a_higher_figure() -> None:
    low, high = (
        draw(*(row(str(j), VALUES) for j in range(count))).get_figure()
        for count in (1, 150)
    )
    assert high.get_figheight() > 150 * 0.1 > low.get_figheight()
    assert high.get_figwidth() == low.get_figwidth()


def test_axis_is_logarithmic_and_holds_every_norm() -> None:
    ax = draw(
        row("a", VALUES),
        row("b", [100.0, 0.25]),
        row("c", band=made_up_band([0.1], [0.125])),
    )
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "singular value"
    left, right = ax.get_xlim()
    assert 0 < left < 0.125
    assert right > 100


def test_numerical_zeros_are_among_all_values_and_counted() -> None:
    rows = row("conv", [4.0, 2.0, 1.0, 1e-30, 0.0]), row("more", [4.0, *[0.0] * 4])
    ax = draw(*rows, offenders=0)
    left, _ = ax.get_xlim()
    assert 0.1 < left < 1
    whole, middle = bars(ax, 0)
    assert span(whole) == pytest.approx((left, 4))
    assert span(middle) == pytest.approx((left, 2))
    found = markers(ax, 0)
    assert found["<"].get_xdata().tolist() == [left]
    assert found["|"].get_xdata().tolist() == [1.0]
    assert words(ax, 0)[-1] == "3x3 s2, 2 numerical zeros"
    whole, middle = bars(ax, 1)
    assert span(whole) == pytest.approx((left, 4))
    assert middle.get_width() == 0  # all of it is below the axis, the median too
    assert "|" not in markers(ax, 1)
    assert legend(ax)[-2:] == [
        "goes on below the axis",
        "numerical zero: at most max(m, n) \u03b5 \u03c3\u2081",
    ]


def test_arrows_and_counts_are_beside_the_bars() -> None:
    """Black on dark blue, and blue on blue, cannot be read."""
    ax = draw(row("a", [4.0, 2.0, 0.0, 0.0]))
    arrow, canvas = markers(ax, 0)["<"], ax.get_figure().canvas
    box = arrow.get_window_extent(canvas.get_renderer())
    edge = ax.get_window_extent()
    assert box.x0 + arrow.get_markersize() / 2 < edge.x0
    (count,) = [text for text in ax.texts if "zeros" in text.get_text()]
    assert count.get_window_extent().x0 > edge.x1


def test_a_strided_layer_of_one_tap_has_its_true_quartiles() -> None:
    """Of 2 x 2 pixels it reads one: three of four columns are zero."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 4, 1, 2, bias=False)
    report = cs.analyze(layer, (2, 6, 6), worst_case_seconds=0)
    values = report.layers[0].spectrum.values
    ax = draw(*report)
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    assert quartiles[0] <= 1e-15 < quartiles[2]
    left, _ = ax.get_xlim()
    _, middle = bars(ax, 0)
    assert span(middle) == pytest.approx((left, quartiles[2]))
    zeros = int((values <= 1e-12).sum())
    assert f"{zeros} numerical zeros" in " ".join(words(ax, 0))


def test_without_zeros_nothing_is_counted() -> None:
    assert not any("zero" in text.get_text() for text in draw(row("a", VALUES)).texts)


def test_range_that_goes_on_below_the_axis_ends_in_an_arrow() -> None:
    ax = draw(row("far", [10.0, 1.0, 1e-12]), row("near", [1.0, 0.5]))
    left, _ = ax.get_xlim()
    assert left > 1e-12
    assert markers(ax, 0)["<"].get_xdata().tolist() == [left]
    assert "<" not in markers(ax, 1)
    whole, _ = bars(ax, 0)
    assert span(whole) == pytest.approx((left, 10))


def test_quartiles_below_the_axis_are_drawn_without_harm() -> None:
    ax = draw(row("far", [1.0, *[1e-12] * 9]))
    assert markers(ax, 0)["."].get_xdata().tolist() == [1.0]
    assert "<" in markers(ax, 0)


def test_rows_end_in_the_geometry() -> None:
    ax = draw(row("a", VALUES), row("b", band=BAND), offenders=0)
    assert words(ax, 0) == words(ax, 1) == ["3x3 s2"]
    ax = draw(row("a", VALUES), offenders=0, geometry=False)
    assert words(ax, 0) == []


@pytest.mark.parametrize("kind", ["exact", "enclosed"])
def test_zero_operator_is_said(kind: str) -> None:
    zero = row("zero", [0.0, 0.0])
    if kind == "enclosed":
        zero = row("zero", band=made_up_band([0.0], [0.0]))
    ax = draw(zero, row("one", VALUES))
    assert bars(ax, 0) == []
    assert markers(ax, 0) == {}
    assert "zero operator" in words(ax, 0)
    assert len(bars(ax, 1)) == 2


def test_nothing_known_is_said() -> None:
    ax = draw(row("one", VALUES), row("unknown"))
    assert bars(ax, 1) == []
    assert words(ax, 1) == ["nothing known"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "unknown"]


@pytest.mark.parametrize("kind", ["unknown", "zero"])
def test_nothing_but_empty_rows(kind: str) -> None:
    rows = [row("a"), row("b")] if kind == "unknown" else [row("a", [0.0]), row("b")]
    ax = draw(*rows)
    assert ax.patches[:] == []
    assert len(ax.texts) >= 2


@pytest.mark.parametrize("low", [1e-5, 0.01, 0.3, 1.0, 20.0])
@pytest.mark.parametrize("span", [1.1, 3, 10, 30, 100, 900])
def test_tick_labels_do_not_overlap(low: float, span: float) -> None:
    ax = draw(row("a", [low * span, low]), row("b", [low * span, low]))
    left, right = ax.get_xlim()
    axis = ax.xaxis
    assert not any(text.get_text() for text in axis.get_ticklabels(minor=True))
    shown = [
        text
        for text, x in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if left <= x <= right and text.get_text()
    ]
    assert len(shown) > 1
    boxes = [text.get_window_extent() for text in shown]
    for one, other in pairwise(boxes):
        assert one.x1 < other.x0


def test_a_title_is_above_the_axes_and_the_legend_below() -> None:
    ax = plot.layers(cs.ModelReport((row("a", VALUES), row("b", VALUES)), (1, 5, 5)))
    title = ax.set_title("A title")
    ax.get_figure().canvas.draw()
    legend_box = ax.get_legend().get_window_extent()
    assert not title.get_window_extent().overlaps(legend_box)
    assert legend_box.y1 < ax.xaxis.label.get_window_extent().y0


def test_single_value() -> None:
    ax = draw(row("one", [3.0]))
    assert [span(bar) for bar in bars(ax, 0)] == [(3, 3), (3, 3)]
    assert markers(ax, 0)["."].get_xdata().tolist() == [3.0]


def test_plot_of_a_report_is_this_picture() -> None:
    report = cs.ModelReport((row("a", VALUES), row("b", band=BAND)), (1, 5, 5))
    ax = Figure().add_subplot()
    assert report.plot(ax=ax) is ax
    other = plot.layers(report)
    assert [span(bar) for bar in bars(ax, 0)] == [span(bar) for bar in bars(other, 0)]
    assert len(report.plot().patches) == len(other.patches) == 4


def test_report_of_a_model_with_enclosed_layers() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 3, 3, padding=1)
    report = cs.analyze(layer, (2, 9, 9), max_flops=3e5, worst_case_seconds=0.5)
    (found,) = report
    assert found.spectrum is None
    ax = draw(*report)
    assert found.envelope is not None
    whole, middle = bars(ax, 0)
    assert span(whole)[1] == pytest.approx(found.envelope.upper[0])
    quartiles = np.quantile(found.envelope.upper, 0.75)
    assert span(middle)[1] == pytest.approx(quartiles)


def test_what_is_part_of_a_layer_leaves_the_room_to_the_bars() -> None:
    """Brackets with what else of the model is part of a layer are not drawn."""
    pad = torch.nn.Sequential(torch.nn.ReflectionPad2d(1), torch.nn.Conv2d(1, 2, 3))
    report = cs.analyze(pad, (1, 6, 6))
    texts = [text.get_text() for text in draw(*report).texts]
    assert report["1"].geometry == "3x3 p1 reflect (reflect 1 before)"
    assert any("3x3 p1 reflect" in text for text in texts)
    assert not any("before" in text for text in texts)
