"""Drawn spectra: the numbers on the axes are those of the spectrum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

import convspec as cs
from convspec import plot
from convspec.plot.palette import CYCLE


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def made_up(values: Sequence[float], rows: int | None = None) -> cs.Spectrum:
    shape = (rows or len(values), len(values))
    return cs.Spectrum(np.array(values, dtype=float), 0.0, shape, "dense")


DEFICIENT = made_up([4.0, 2.0, 1.0, 1e-20, 0.0], rows=7)
TOLERANCE = 7 * 2.0**-52 * 4


def laplacian(size: int) -> cs.ConvOperator:
    """Its circular form has one singular value 0, for the constant signal."""
    return cs.ConvOperator(
        torch.tensor([[[1.0, -2.0, 1.0]]]), size, padding=1, padding_mode="circular"
    )


def lines(ax: Axes, style: str | None = None) -> list[Line2D]:
    return [x for x in ax.lines if (x.get_linestyle() == ":") == (style == ":")]


# -- one spectrum -----------------------------------------------------------------------


def test_values_over_the_fraction_of_their_index() -> None:
    spec = made_up([3.0, 2.0, 1.0, 0.5])
    ax = plot.spectrum(spec, label="layer")
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [0.125, 0.375, 0.625, 0.875]
    assert np.array_equal(line.get_ydata(), spec.values)
    assert line.get_label() == "layer"
    assert (ax.get_yscale(), ax.get_xscale()) == ("log", "linear")
    assert ax.get_xlim() == (0, 1)
    assert ax.get_xlabel() == "index / 4"
    assert ax.get_ylabel() == "singular value"


def test_numerical_zeros_are_dotted_at_the_tolerance_and_counted() -> None:
    ax = plot.spectrum(DEFICIENT, label="layer")
    line, dotted = ax.lines
    assert line.get_xdata() == pytest.approx([0.1, 0.3, 0.5])
    assert line.get_ydata().tolist() == [4.0, 2.0, 1.0]
    assert line.get_label() == "layer (2 numerical zeros)"
    assert dotted.get_linestyle() == ":"
    assert dotted.get_xdata() == pytest.approx([0.7, 0.9])
    assert dotted.get_ydata() == pytest.approx([TOLERANCE] * 2)
    assert dotted.get_color() == line.get_color()
    assert dotted.get_label().startswith("_")
    ax.get_figure().canvas.draw()


def test_without_a_label_there_is_nothing_for_a_legend() -> None:
    ax = plot.spectrum(DEFICIENT)
    assert ax.get_legend_handles_labels() == ([], [])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [8, 9], ids=["even", "odd"])
@pytest.mark.parametrize("method", ["fourier", "dense"])
def test_as_many_are_drawn_solid_as_the_rank(
    method: str, size: int, dtype: torch.dtype
) -> None:
    spec = cs.spectrum(laplacian(size), method=method, dtype=dtype)
    ax = plot.spectrum(spec, label="laplacian")
    (line,) = lines(ax)
    (dotted,) = lines(ax, ":")
    assert len(line.get_ydata()) == spec.rank() == size - 1
    assert len(dotted.get_ydata()) == 1
    assert line.get_ydata().min() > dotted.get_ydata().max()
    assert line.get_label() == "laplacian (1 numerical zeros)"


@pytest.mark.parametrize("k", [1, 3, 7])
def test_incomplete_spectra_lie_on_the_complete_one(k: int) -> None:
    torch.manual_seed(0)
    op = cs.ConvOperator(torch.randn(1, 1, 3), 8, padding=1)
    ax = plot.spectrum(cs.spectrum(op))
    plot.spectrum(cs.spectrum(op, k, "largest"), ax=ax)
    plot.spectrum(cs.spectrum(op, k, "smallest"), ax=ax)
    complete, largest, smallest = (line.get_xydata() for line in ax.lines)
    assert np.array_equal(largest, complete[:k])
    assert np.array_equal(smallest, complete[-k:])
    assert smallest[-1, 0] == pytest.approx(7.5 / 8)


def test_incomplete_spectra_count_no_zeros() -> None:
    """Their tolerance would need the largest value, or the number of all the others."""
    values = np.array([1.0, 1e-30])
    spec = cs.Spectrum(values, 0.0, (6, 5), "dense", complete=False, which="smallest")
    ax = plot.spectrum(spec, label="part", annotate=True)
    (line,) = ax.lines
    assert line.get_label() == "part"
    assert np.array_equal(line.get_ydata(), values)
    assert len(ax.texts) == 0


@pytest.mark.parametrize("annotate", [False, True], ids=["plain", "annotated"])
def test_zero_operator(annotate: bool) -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.zeros(1, 1, 3), 5))
    ax = plot.spectrum(spec, label="zero", annotate=annotate)
    ax.get_figure().canvas.draw()
    assert ax.lines[0].get_label() == "zero (3 numerical zeros)"
    assert sum(len(line.get_ydata()) for line in ax.lines) == 0
    assert [text.get_text() for text in ax.texts] == (
        ["rank 0 of 3\ncond inf"] if annotate else []
    )


def test_smallest_values_that_are_all_zero() -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.zeros(1, 1, 3), 5), 2, "smallest")
    ax = plot.spectrum(spec)
    ax.get_figure().canvas.draw()
    assert ax.get_yscale() == "linear"


def test_single_value() -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.full((1, 1, 1), -3.0), 1))
    ax = plot.spectrum(spec, marker="o")
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[0.5, 3.0]]
    assert ax.get_xlabel() == "index / 1"
    ax.get_figure().canvas.draw()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (made_up([8.0, 4.0, 1.6]), "rank 3 of 3\ncond 5"),
        (DEFICIENT, "rank 3 of 5\ncond inf"),
    ],
    ids=["regular", "deficient"],
)
def test_annotation(spec: cs.Spectrum, text: str) -> None:
    ax = plot.spectrum(spec, annotate=True)
    assert [found.get_text() for found in ax.texts] == [text]


def test_options_go_to_the_line() -> None:
    ax = plot.spectrum(DEFICIENT, color="red", linewidth=3, linestyle="--", marker="x")
    line, dotted = ax.lines
    assert (to_hex(line.get_color()), line.get_linewidth()) == ("#ff0000", 3)
    assert (line.get_linestyle(), line.get_marker()) == ("--", "x")
    assert to_hex(dotted.get_color()) == "#ff0000"


# -- several ----------------------------------------------------------------------------


def test_compare_draws_them_in_order_with_a_legend() -> None:
    spectra = {"b": made_up([3.0, 1.0]), "a": DEFICIENT, "c": made_up([5.0])}
    ax = plot.compare(spectra)
    solid = lines(ax)
    assert [line.get_ydata().tolist() for line in solid] == [
        [3.0, 1.0],
        [4.0, 2.0, 1.0],
        [5.0],
    ]
    assert solid[0].get_xdata().tolist() == [0.25, 0.75]
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == ["b", "a (2 numerical zeros)", "c"]
    assert [line.get_color() for line in solid] == list(CYCLE[:3])
    (dotted,) = lines(ax, ":")
    assert dotted.get_color() == CYCLE[1]
    assert ax.get_xlabel() == "index / min(m, n)"
    assert (ax.get_yscale(), ax.get_xlim()) == ("log", (0, 1))


def test_compare_of_one() -> None:
    ax = plot.compare({"only": made_up([2.0, 1.0])})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["only"]
    assert ax.get_xlabel() == "index / 2"


def test_many_stay_apart() -> None:
    ax = plot.compare({str(j): made_up([2.0 + j, 1.0]) for j in range(20)})
    looks = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert len(set(looks)) == 20
    assert ":" not in {style for _, style in looks}  # dotted stands for zeros


def test_compare_takes_options_for_all_lines() -> None:
    ax = plot.compare({"a": made_up([2.0]), "b": made_up([1.0])}, linewidth=4, color="k")
    assert {line.get_linewidth() for line in ax.lines} == {4}
    assert {line.get_color() for line in ax.lines} == {"k"}


def test_compare_with_a_zero_operator() -> None:
    zero = cs.spectrum(cs.ConvOperator(torch.zeros(1, 1, 3), 5))
    ax = plot.compare({"zero": zero, "one": made_up([1.0, 0.5])})
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == ["zero (3 numerical zeros)", "one"]
    ax.get_figure().canvas.draw()
