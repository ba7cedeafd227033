"""The heatmap of an operator against its dense matrix, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

import convspec as cs
from convspec import plot
from convspec.operators.heatmap import matrix_cells
from tests.gaussian import gaussian
from tests.oracles import Array
from tests.small_operators import OPERATORS


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def shown(ax: Axes) -> Array:
    (image,) = ax.images
    return np.asarray(image.get_array())


@pytest.mark.parametrize("reduction", ["signed", "max", "rms"])
@pytest.mark.parametrize("pixels", [3, 400])
@pytest.mark.parametrize("name", OPERATORS)
def test_the_image_is_the_gathered_matrix(name: str, pixels: int, reduction: Any) -> None:
    op = OPERATORS[name]
    ax = plot.operator(op, pixels=pixels, reduction=reduction)
    expected = matrix_cells(op, pixels, reduction=reduction)
    assert np.array_equal(shown(ax), expected.values)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_entry_is_shown_where_there_is_room(name: str) -> None:
    op = OPERATORS[name]
    expected = op.to_dense().double().numpy()
    assert np.allclose(shown(plot.operator(op)), expected, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("name", OPERATORS)
def test_colours_are_symmetric_around_zero(name: str) -> None:
    op = OPERATORS[name]
    ax = plot.operator(op, pixels=3)
    top = float(op.to_dense().abs().max())
    assert ax.images[0].get_clim() == pytest.approx((-top, top), rel=1e-15)
    assert ax.images[0].get_cmap().name == "RdBu_r"


def test_zero_operator() -> None:
    ax = plot.operator(cs.ConvOperator(torch.zeros(2, 1, 3), 5))
    assert not shown(ax).any()
    assert ax.images[0].get_clim() == (-1, 1)
    ax.get_figure().canvas.draw()


def test_axes_count_inputs_and_outputs() -> None:
    ax = plot.operator(OPERATORS["2d-strided"], pixels=4)
    m, n = OPERATORS["2d-strided"].shape
    assert list(ax.images[0].get_extent()) == [0, n, m, 0]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, n), (m, 0))  # row 0 on top
    assert ax.get_xlabel() == "input, 2 \u00d7 5 \u00d7 4"
    assert ax.get_ylabel() == "output, 3 \u00d7 3 \u00d7 5"


def test_complex_operators_are_shown_by_magnitude() -> None:
    op = cs.ConvOperator(torch.tensor([[[3 + 4j, -1j]]]), 4)
    ax = plot.operator(op)
    assert np.array_equal(shown(ax), op.to_dense().abs().numpy())
    assert ax.images[0].get_clim() == (0, 5)
    with pytest.raises(ValueError, match="complex entries have no sign"):
        plot.operator(op, reduction="signed")
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("matrix", ["to_dense", "to_sparse"])
def test_large_operators_are_drawn_without_the_matrix(
    monkeypatch: pytest.MonkeyPatch, matrix: str
) -> None:
    def built(*_: Any, **__: Any) -> None:
        raise AssertionError("the matrix must not be built")

    monkeypatch.setattr(cs.ConvOperator, matrix, built)
    op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 100_000, padding=1)
    cells = shown(plot.operator(op, pixels=50))
    assert np.array_equal(np.diag(cells), [-2.0] * 50)
    assert np.count_nonzero(cells) == 50 + 2 * 49


def test_operators_over_the_byte_limit_are_refused() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3, 3), (20_000, 20_000))
    with pytest.raises(cs.TooLargeError, match="smaller input"):
        plot.operator(op)
    assert plt.get_fignums() == []


def test_cells_of_several_channels_end_with_the_matrix() -> None:
    """5 channels, two to a cell: the last cell reaches beyond, the axes do not."""
    ax = plot.operator(cs.ConvOperator(gaussian(8, 5, 1, 2), 4), pixels=3)
    assert list(ax.images[0].get_extent()) == [0, 4, 18, 0]
    assert ax.get_ylim() == (15, 0)


# -- lines between channels and rows ----------------------------------------------------


def grid(ax: Axes) -> tuple[list[float], list[float]]:
    """Positions of the horizontal and of the vertical lines."""
    across: list[float] = []
    down: list[float] = []
    for lines in ax.collections:
        for (x0, y0), (x1, y1) in lines.get_segments():
            if y0 == y1:
                across.append(float(y0))
            else:
                assert x0 == x1
                down.append(float(x0))
    return sorted(across), sorted(down)


@pytest.mark.parametrize(
    ("name", "horizontal", "vertical"),
    [("groups", [5, 10, 15], [7]), ("transposed", [13, 26], [6]), ("1d", [], [])],
)
def test_channels_are_divided(name: str, horizontal: Any, vertical: Any) -> None:
    assert grid(plot.operator(OPERATORS[name])) == (horizontal, vertical)
    assert grid(plot.operator(OPERATORS[name], blocks=False)) == ([], [])


def test_rows_of_images_are_divided_by_thinner_lines() -> None:
    ax = plot.operator(OPERATORS["2d-strided"])  # 3 x 3 x 5 outputs, 2 x 5 x 4 inputs
    across, down = grid(ax)
    assert set(across) == {5.0 * j for j in range(1, 9)}
    assert set(down) == {4.0 * j for j in range(1, 10)}
    channels, rows, *_ = ax.collections
    assert channels.get_linewidth()[0] > rows.get_linewidth()[0]


@pytest.mark.parametrize(("channels", "drawn"), [(64, 63), (65, 0)])
def test_too_many_channels_are_not_divided(channels: int, drawn: int) -> None:
    across, down = grid(plot.operator(cs.ConvOperator(torch.ones(channels, 2, 1), 1)))
    assert len(across) == drawn
    assert down == [1]


# -- options ----------------------------------------------------------------------------


def test_colour_bar_can_be_left_out() -> None:
    figure = Figure()
    plot.operator(OPERATORS["1d"], ax=figure.add_subplot(), colorbar=False)
    assert len(figure.axes) == 1


@pytest.mark.parametrize(
    ("reduction", "pixels", "words"),
    [
        ("signed", 400, "entry"),
        ("signed", 4, "entry of largest magnitude"),
        ("max", 4, "largest magnitude"),
        ("rms", 400, "magnitude of the entry"),
        ("rms", 4, "root mean square"),
    ],
)
def test_colour_bar_says_what_it_shows(reduction: Any, pixels: int, words: str) -> None:
    figure = Figure()
    op = OPERATORS["1d"]
    ax = plot.operator(op, ax=figure.add_subplot(), pixels=pixels, reduction=reduction)
    (bar,) = [other for other in figure.axes if other is not ax]
    assert bar.get_ylabel() == words
    assert bar.get_ylim() == ax.images[0].get_clim()
    assert (ax.images[0].get_clim()[0] == 0) == (reduction != "signed")


def test_options_go_to_the_image() -> None:
    ax = plot.operator(OPERATORS["1d"], cmap="PiYG", vmin=-9, vmax=9, alpha=0.5)
    image = ax.images[0]
    assert (image.get_cmap().name, image.get_clim()) == ("PiYG", (-9, 9))
    assert image.get_alpha() == 0.5


def test_aspect_is_an_option_too() -> None:
    assert plot.operator(OPERATORS["1d"], aspect="auto").get_aspect() == "auto"


def test_a_norm_takes_the_place_of_limits() -> None:
    norm = SymLogNorm(1e-3, vmin=-2, vmax=2)
    ax = plot.operator(OPERATORS["1d"], norm=norm)
    assert ax.images[0].norm is norm
