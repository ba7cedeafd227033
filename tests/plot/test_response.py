"""Drawn frequency responses: samples, marks, slices and the certified supremum."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import convspec as cs
from convspec import plot
from convspec.quantity.decimals import rounded_down
from tests.drawn import legend


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def operator(*shape: int) -> cs.ConvOperator:
    generator = torch.Generator().manual_seed(sum(shape))
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    return cs.ConvOperator(weight, 8, padding=1)


LINE, SQUARE, CUBE = operator(3, 2, 3), operator(3, 2, 3, 3), operator(2, 2, 3, 3, 3)


def marks(ax: Axes) -> dict[str, list[float]]:
    """Marker -> where it is."""
    return {
        str(x.get_marker()): [float(v) for v in np.ravel(x.get_xydata())]
        for x in ax.lines
        if x.get_marker() not in ("None", "")
    }


def test_one_axis_is_a_curve_over_a_period() -> None:
    found = cs.frequency_response(LINE, 16)
    ax = plot.frequency_response(found)
    curve = ax.lines[0]
    assert curve.get_xdata()[0] == -math.pi
    assert curve.get_xdata()[-1] == pytest.approx(math.pi)
    assert np.array_equal(curve.get_ydata()[:-1], found.values[:, 0])
    assert curve.get_ydata()[-1] == found.values[0, 0]
    assert marks(ax)["o"] == [*found.maximiser(), found.maximum()]
    assert legend(ax) == [
        "\u03c3\u2081",
        f"largest sample {rounded_down(found.maximum(), 5)}",
    ]
    assert ax.get_xlim() == (-math.pi, math.pi)
    assert ax.get_ylim()[0] == 0


def test_supremum_of_a_curve_is_a_line_above_it() -> None:
    worst = cs.worst_case_norm(LINE)
    ax = plot.frequency_response(LINE, worst_case=worst)
    (line,) = [x for x in ax.lines if x.get_linestyle() == "--"]
    assert set(line.get_ydata()) == {worst.upper}
    assert ax.lines[0].get_ydata().max() <= worst.upper
    x, y = marks(ax)["x"]
    assert y == worst.lower
    assert abs(x - marks(ax)["o"][0]) < 2 * math.pi / 512  # of w and -w the nearer one
    printed = legend(ax)[-1]
    assert printed.startswith("certified supremum \u2264 ")
    assert float(printed.split()[3]) >= worst.upper


def test_two_axes_are_a_map() -> None:
    found = cs.frequency_response(SQUARE, (6, 8))
    figure = Figure()
    ax = plot.frequency_response(found, ax=figure.add_subplot())
    (image,) = ax.images
    assert np.array_equal(image.get_array(), found.values[..., 0])
    left, right, bottom, top = image.get_extent()
    # samples are in the middle of their cells
    assert (left, bottom) == pytest.approx(
        (-math.pi * (1 + 1 / 8), -math.pi * (1 + 1 / 6))
    )
    assert right - left == pytest.approx(2 * math.pi)
    assert top - bottom == pytest.approx(2 * math.pi)
    assert image.origin == "lower"
    first, second = found.maximiser()
    assert marks(ax)["o"] == [second, first]
    bar = figure.axes[1]
    assert bar.get_ylabel() == "\u03c3\u2081 of the symbol"


def test_map_with_its_supremum() -> None:
    found = cs.frequency_response(SQUARE)
    worst = cs.worst_case_norm(SQUARE)
    ax = plot.frequency_response(found, worst_case=worst, colorbar=False)
    place = found.place(worst, found.maximiser())
    assert marks(ax)["x"] == pytest.approx([place[1], place[0]])
    apart = np.hypot(*np.subtract(marks(ax)["x"], marks(ax)["o"]))
    assert apart < 2 * math.pi / 64 * math.sqrt(2)
    assert len(ax.figure.axes) == 1


def test_other_singular_values() -> None:
    found = cs.frequency_response(SQUARE, 6)
    ax = plot.frequency_response(found, index=1)
    assert np.array_equal(ax.images[0].get_array(), found.values[..., 1])
    curve = plot.frequency_response(LINE, index=1)
    assert curve.get_ylabel() == "\u03c3\u2082 of the symbol"


def test_three_axes_are_a_slice() -> None:
    found = cs.frequency_response(CUBE, 8)
    ax = plot.frequency_response(found)
    third = int(np.argmax(found.values[..., 0].max(axis=(0, 1))))
    assert np.array_equal(ax.images[0].get_array(), found.values[:, :, third, 0])
    ax = plot.frequency_response(found, slice=0.1)
    assert np.array_equal(ax.images[0].get_array(), found.values[:, :, 4, 0])
    assert ax.get_title() == "$\\omega_3 = 0\\,\\pi$"
    assert "in this slice" in legend(ax)[0]


def test_supremum_of_three_axes_is_marked_in_its_own_slice() -> None:
    found = cs.frequency_response(CUBE, 8)
    worst = cs.worst_case_norm(CUBE, rtol=1e-2)
    ax = plot.frequency_response(found, worst_case=worst)
    assert len(marks(ax)["x"]) == 2
    third = found.place(worst, found.maximiser())[2]
    away = math.remainder(third + math.pi, 2 * math.pi)
    ax = plot.frequency_response(found, worst_case=worst, slice=away)
    assert marks(ax)["x"] == []
    assert legend(ax)[-1].endswith("in another slice")


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1, 3, 3), (2, 2, 1, 1)], ids=str)
@pytest.mark.parametrize("scale", [0.0, 1.0], ids=["zero", "one"])
def test_flat_responses(shape: tuple[int, ...], scale: float) -> None:
    op = cs.ConvOperator(torch.full(shape, scale), 8)
    ax = plot.frequency_response(op, worst_case=cs.worst_case_norm(op))
    ax.get_figure().canvas.draw()  # without a warning
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    assert any("largest sample" in words for words in legend(ax))


def test_padding_that_repeats_pixels_is_said() -> None:
    op = cs.ConvOperator(LINE.weight, 8, padding=1, padding_mode="replicate")
    ax = plot.frequency_response(op, worst_case=cs.worst_case_norm(op))
    assert legend(ax)[-1].startswith("certified: ")
    assert legend(ax)[-1].endswith(", with padding")


def test_options_go_to_the_artist() -> None:
    assert plot.frequency_response(LINE, linewidth=5).lines[0].get_linewidth() == 5
    image = plot.frequency_response(SQUARE, cmap="gray", vmin=0, vmax=99).images[0]
    assert (image.get_cmap().name, image.get_clim()) == ("gray", (0, 99))


def test_refusals() -> None:
    worst = cs.worst_case_norm(LINE)
    with pytest.raises(
        TypeError, match=r"got Spectrum; call convspec.frequency_response"
    ):
        plot.frequency_response(cs.spectrum(LINE))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="index must be from 0, for sigma_1, to 1; got 2"
    ):
        plot.frequency_response(LINE, index=2)
    with pytest.raises(ValueError, match="of sigma_1, index 0; got index 1"):
        plot.frequency_response(LINE, index=1, worst_case=worst)
    with pytest.raises(ValueError, match=r"slice is for three axes; got 0.5 for 1"):
        plot.frequency_response(LINE, slice=0.5)
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match="must have 2 frequencies"):
        plot.frequency_response(SQUARE, worst_case=worst)
