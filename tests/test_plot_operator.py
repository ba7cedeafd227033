"""The heatmap of an operator against its dense matrix, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import convspec as cs
from convspec import plot
from tests.oracles import Array


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def gaussian(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)


OPERATORS = {
    "1d": cs.ConvOperator(gaussian(1, 1, 3), 11, padding=1),
    "2d-strided": cs.ConvOperator(gaussian(3, 2, 3, 2), (5, 4), stride=(2, 1), padding=1),
    "3d": cs.ConvOperator(gaussian(1, 2, 2, 1, 2), (2, 3, 4)),
    "groups": cs.ConvOperator(gaussian(4, 1, 3), 7, groups=2),
    "transposed": cs.ConvOperator(gaussian(2, 3, 3), 6, stride=2, transposed=True),
    "reflect": cs.ConvOperator(gaussian(1, 1, 5), 6, padding=4, padding_mode="reflect"),
    "negative": cs.ConvOperator(-gaussian(1, 2, 3).abs(), 9),
    "half": cs.ConvOperator(gaussian(2, 1, 3, dtype=torch.float16), 9),
    "one-entry": cs.ConvOperator(torch.full((1, 1, 1), -2.5), 1),
}


def block_maxima(matrix: Array, pixels: int) -> Array:
    """The entry of largest magnitude among the rows and columns of each cell."""
    m, n = matrix.shape
    rows, columns = min(m, pixels), min(n, pixels)
    cells = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            block = [
                matrix[r, c]
                for r in range(m)
                if r * rows // m == i
                for c in range(n)
                if c * columns // n == j
            ]
            cells[i, j] = max(block, key=abs)
    return cells


def shown(ax: Axes) -> Array:
    (image,) = ax.images
    return np.asarray(image.get_array())


@pytest.mark.parametrize("pixels", [1, 2, 5, 8, 400])
@pytest.mark.parametrize("name", OPERATORS)
def test_cells_are_the_entries_of_largest_magnitude(name: str, pixels: int) -> None:
    op = OPERATORS[name]
    matrix = op.to_dense().double().numpy()
    ax = plot.operator(op, pixels=pixels)
    assert np.array_equal(shown(ax), block_maxima(matrix, pixels))


@pytest.mark.parametrize("name", OPERATORS)
def test_every_entry_is_shown_where_there_is_room(name: str) -> None:
    op = OPERATORS[name]
    assert np.array_equal(shown(plot.operator(op)), op.to_dense().double().numpy())


def test_a_single_large_entry_among_many_is_not_lost() -> None:
    weight = torch.full((1, 1, 3), 1e-3)
    weight[0, 0, 1] = -7
    op = cs.ConvOperator(weight, 1000, padding=1)
    assert np.array_equal(np.diag(shown(plot.operator(op, pixels=10))), [-7.0] * 10)


@pytest.mark.parametrize("name", OPERATORS)
def test_colours_are_symmetric_around_zero(name: str) -> None:
    op = OPERATORS[name]
    ax = plot.operator(op, pixels=3)
    top = float(op.to_dense().abs().max())
    assert ax.images[0].get_clim() == (-top, top)
    assert ax.images[0].get_cmap().name == "RdBu_r"


def test_zero_operator() -> None:
    ax = plot.operator(cs.ConvOperator(torch.zeros(2, 1, 3), 5))
    assert not shown(ax).any()
    assert ax.images[0].get_clim() == (-1, 1)
    ax.get_figure().canvas.draw()


def test_axes_count_inputs_and_outputs() -> None:
    ax = plot.operator(OPERATORS["2d-strided"], pixels=4)
    m, n = OPERATORS["2d-strided"].shape
    assert ax.images[0].get_extent() == [0, n, m, 0]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, n), (m, 0))  # row 0 on top
    assert ax.get_xlabel() == "input, 2 x 5 x 4"
    assert ax.get_ylabel() == "output, 3 x 3 x 5"


def test_complex_operators_are_refused() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 2, dtype=torch.complex64), 4)
    with pytest.raises(ValueError, match="got a complex operator"):
        plot.operator(op)
    assert plt.get_fignums() == []


def test_large_operators_are_drawn_without_the_dense_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dense(*_: Any, **__: Any) -> None:
        raise AssertionError("the dense matrix must not be built")

    monkeypatch.setattr(cs.ConvOperator, "to_dense", dense)
    op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 100_000, padding=1)
    cells = shown(plot.operator(op, pixels=50))
    assert np.array_equal(np.diag(cells), [-2.0] * 50)
    assert np.count_nonzero(cells) == 50 + 2 * 49


def test_operators_over_the_byte_limit_are_refused() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3, 3), (20_000, 20_000))
    with pytest.raises(cs.TooLargeError, match="sparse"):
        plot.operator(op)


# -- lines between channels -------------------------------------------------------------


def grid(ax: Axes) -> tuple[list[float], list[float]]:
    """Positions of the horizontal and of the vertical lines."""
    across = [x.get_ydata()[0] for x in ax.lines if x.get_ydata()[0] == x.get_ydata()[1]]
    down = [x.get_xdata()[0] for x in ax.lines if x.get_xdata()[0] == x.get_xdata()[1]]
    return across, down


@pytest.mark.parametrize(
    ("name", "horizontal", "vertical"),
    [("2d-strided", [15, 30], [20]), ("transposed", [13, 26], [6]), ("1d", [], [])],
)
def test_channels_are_divided(name: str, horizontal: Any, vertical: Any) -> None:
    assert grid(plot.operator(OPERATORS[name])) == (horizontal, vertical)
    assert grid(plot.operator(OPERATORS[name], channels=False)) == ([], [])


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


def test_colour_bar_says_what_it_shows() -> None:
    figure = Figure()
    ax = plot.operator(OPERATORS["1d"], ax=figure.add_subplot())
    (bar,) = [other for other in figure.axes if other is not ax]
    assert bar.get_ylabel() == "entry of largest magnitude"
    assert bar.get_ylim() == ax.images[0].get_clim()


def test_options_go_to_the_image() -> None:
    ax = plot.operator(OPERATORS["1d"], cmap="PiYG", vmin=-9, vmax=9, alpha=0.5)
    image = ax.images[0]
    assert (image.get_cmap().name, image.get_clim()) == ("PiYG", (-9, 9))
    assert image.get_alpha() == 0.5


def test_aspect_is_an_option_too() -> None:
    assert plot.operator(OPERATORS["1d"], aspect="equal").get_aspect() == 1
