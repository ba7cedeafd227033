"""The matrix of an operator as a heatmap that stays true when it is larger than it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from convspec.isolation import isolated
from convspec.operators.composed.cells import map_cells
from convspec.operators.heatmap import Cells, Gathering
from convspec.operators.linear_map import LinearMap, require_map
from convspec.plot.canvas import LARGE, axes_or_new
from convspec.plot.palette import DIVERGING, SEQUENTIAL

__all__ = ["operator"]

WORDS = {
    "signed": ("entry", "entry of largest magnitude"),
    "max": ("magnitude of the entry", "largest magnitude"),
    "rms": ("magnitude of the entry", "root mean square"),
}
# more lines than these would hide what they divide
MOST_CHANNELS = 64
MOST_ROWS = 80


@isolated
def operator(
    op: LinearMap,
    *,
    ax: Axes | None = None,
    pixels: int = 400,
    reduction: Gathering | None = None,
    blocks: bool = True,
    colorbar: bool = True,
    **kwargs: Any,
) -> Axes:
    """Heatmap of A: each cell shows its entry of largest magnitude, with its sign.

    Of a convolution neither the dense nor the sparse matrix is built, see
    :func:`convspec.operators.heatmap.matrix_cells`: 200,000 rows and columns take well
    under a second. Of a composed map the sparse one is. Cells do not straddle channels,
    unless there are more of these than pixels. Complex entries have no sign.
    Colours are symmetric around zero; where they are printed in grey, magnitude is what
    is left of them.

    Args:
        op: The operator, or a map composed of some.
        ax: Axes to draw on.
        pixels: Most cells per side.
        reduction: ``"signed"``; or without sign ``"max"`` for the largest magnitude and
            ``"rms"`` for the root mean square of the cell's entries, zeros included.
            ``"signed"`` unless told, ``"max"`` of complex maps.
        blocks: Whether to draw thin lines between channels, and thinner ones between
            the rows of their images, where they leave room.
        colorbar: Whether to add a colour bar, which says what a cell shows.
        **kwargs: For ``Axes.imshow``.

    Raises:
        TooLargeError: If the positions between two channels alone, or the sparse matrix
            of a composed map, are over the byte limit.
        ValueError: For no pixels, an unknown reduction, or the sign of complex entries.
    """
    require_map(op, "plot.operator")
    reduction = reduction or ("max" if op.dtype.is_complex else "signed")
    cells = map_cells(op, pixels, reduction=reduction)
    ax = axes_or_new(ax)
    m, n = op.shape
    top = float(np.abs(cells.values).max()) or 1.0
    # colour bars subtract their ends, which must not overflow
    unit = 10.0 ** math.floor(math.log10(top)) if top > LARGE else 1.0
    values, top = cells.values / unit, top / unit
    signed = reduction == "signed"
    look: dict[str, Any] = {
        "cmap": DIVERGING if signed else SEQUENTIAL,
        "interpolation": "nearest",
        "extent": (0, cells.extent[1], cells.extent[0], 0),
        "aspect": "auto" if max(m, n) > 4 * min(m, n) else "equal",
        **kwargs,
    }
    if "norm" not in look:
        look = {"vmin": -top if signed else 0.0, "vmax": top, **look}
    image = ax.imshow(values, **look)
    ax.set_xlim(0, n)
    ax.set_ylim(m, 0)
    if blocks:
        _block_lines(ax, op)
    # a matrix much taller than wide has no room for as many labels below it
    across = 5 if look["aspect"] == "auto" else min(5, max(2, round(5 * n / m)))
    for axis, most in ((ax.xaxis, across), (ax.yaxis, 5)):
        axis.set_major_locator(MaxNLocator(most, integer=True))
        axis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel(f"input, {_shape(op.input_shape)}")
    ax.set_ylabel(f"output, {_shape(op.output_shape)}")
    if colorbar and ax.figure is not None:
        words = WORDS[reduction][_gathered(cells)]
        label = words if unit == 1 else f"{words}, in {unit:g}"
        ax.figure.colorbar(image, ax=ax, shrink=0.8, label=label)
    return ax


def _gathered(cells: Cells) -> bool:
    """Whether a cell of the image stands for several entries of the matrix."""
    return cells.values.shape != cells.shape


def _block_lines(ax: Axes, op: LinearMap) -> None:
    """Between channels, and between the rows of images in them."""
    look: dict[str, Any] = {"colors": "0.65", "zorder": 2}
    m, n = op.shape
    for image, length, width, draw in (
        (op.output_shape, m, n, ax.hlines),
        (op.input_shape, n, m, ax.vlines),
    ):
        channels, rows = image[0], int(np.prod(image[:-1]))
        if 1 < channels <= MOST_CHANNELS:
            draw(_inner(channels, length), 0, width, linewidths=0.3, **look)
        if len(image) > 2 and channels < rows <= MOST_ROWS and rows < length:
            places = _inner(rows, length)
            draw(places, 0, width, linewidths=0.15, alpha=0.6, **look)


def _inner(parts: int, length: int) -> Any:
    """The places that divide a length into equal parts."""
    return np.arange(1, parts) * (length / parts)


def _shape(numbers: tuple[int, ...]) -> str:
    return " \u00d7 ".join(map(str, numbers))
