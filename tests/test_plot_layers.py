"""A network at a glance: one row per layer, every row what its spectrum says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from convspec.plot.palette import EXACT, STAND_IN


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def made_up(values: Sequence[float]) -> cs.Spectrum:
    shape = len(values), len(values)
    return cs.Spectrum(np.array(values, dtype=float), 0.0, shape, "dense")


def row(
    name: str,
    exact: Sequence[float] | None = None,
    circular: Sequence[float] | None = None,
) -> cs.LayerReport:
    op = cs.ConvOperator(torch.ones(1, 1, 3, 3), 5, stride=2)
    return cs.LayerReport(
        name=name,
        type="Conv2d",
        calls=1,
        operator=None if exact is circular is None else op,
        frobenius_norm=None,
        spectrum=None if exact is None else made_up(exact),
        circular=None if circular is None else made_up(circular),
        method="none" if exact is None else "dense",
        reason="",
        seconds=0.0,
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


def test_stand_in_row_looks_different() -> None:
    ax = draw(row("exact", VALUES), row("stand-in", circular=[5.0, 3.0, 2.0]))
    whole, middle = bars(ax, 1)
    assert span(whole) == pytest.approx((2, 5))
    assert span(middle) == pytest.approx((2.5, 4))
    assert to_hex(whole.get_facecolor()) == to_hex(middle.get_facecolor())
    assert to_hex(whole.get_facecolor()) == STAND_IN.lower()
    assert whole.get_hatch()
    assert to_hex(whole.get_edgecolor()) == STAND_IN.lower()
    assert STAND_IN != EXACT


@pytest.mark.parametrize("stand_in", [False, True], ids=["exact-only", "with-stand-in"])
def test_legend_names_the_stand_in_where_there_is_one(stand_in: bool) -> None:
    rows = [row("a", VALUES)] + [row("b", circular=VALUES)] * stand_in
    entries = [text.get_text() for text in draw(*rows).get_legend().get_texts()]
    word = ["circular kernel instead: another operator"] * stand_in
    assert entries == ["exact", *word, "middle half", "norm"]


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
    ax = draw(row("a", VALUES), row("b", [100.0, 0.25]), row("c", circular=[0.125]))
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "singular value"
    left, right = ax.get_xlim()
    assert 0 < left < 0.125
    assert right > 100


def test_numerical_zeros_are_counted_and_left_out_of_the_range() -> None:
    ax = draw(row("conv", [4.0, 2.0, 1e-30, 0.0, 0.0]))
    whole, middle = bars(ax, 0)
    assert span(whole) == pytest.approx((2, 4))
    assert span(middle) == pytest.approx((2.5, 3.5))
    assert "3 numerical zeros" in words(ax, 0)
    assert ax.get_xlim()[0] > 0.1


def test_without_zeros_nothing_is_counted() -> None:
    assert not any("zeros" in text.get_text() for text in draw(row("a", VALUES)).texts)


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
    ax = draw(row("a", VALUES), row("b", circular=VALUES))
    assert words(ax, 0) == words(ax, 1) == ["3x3 s2"]


@pytest.mark.parametrize("kind", ["exact", "circular"])
def test_zero_operator_is_said(kind: str) -> None:
    ax = draw(row("zero", **{kind: [0.0, 0.0]}), row("one", VALUES))
    assert bars(ax, 0) == []
    assert markers(ax, 0) == {}
    assert "zero operator" in words(ax, 0)
    assert len(bars(ax, 1)) == 2


def test_nothing_known_is_said() -> None:
    ax = draw(row("one", VALUES), row("unknown"))
    assert bars(ax, 1) == []
    assert words(ax, 1) == ["no exact spectrum"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "unknown"]


@pytest.mark.parametrize("kind", ["unknown", "zero"])
def test_nothing_but_empty_rows(kind: str) -> None:
    rows = [row("a"), row("b")] if kind == "unknown" else [row("a", [0.0]), row("b")]
    ax = draw(*rows)
    assert ax.patches[:] == []
    assert len(ax.texts) >= 2


def test_single_value() -> None:
    ax = draw(row("one", [3.0]))
    assert [span(bar) for bar in bars(ax, 0)] == [(3, 3), (3, 3)]
    assert markers(ax, 0)["."].get_xdata().tolist() == [3.0]


def test_plot_of_a_report_is_this_picture() -> None:
    report = cs.ModelReport((row("a", VALUES), row("b", circular=VALUES)), (1, 5, 5))
    ax = Figure().add_subplot()
    assert report.plot(ax=ax) is ax
    other = plot.layers(report)
    assert [span(bar) for bar in bars(ax, 0)] == [span(bar) for bar in bars(other, 0)]
    assert len(report.plot().patches) == len(other.patches) == 4
