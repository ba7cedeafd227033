"""The matrix of an operator as a heatmap, downsampled from its nonzero entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from convspec.operator import ConvOperator
from convspec.plot.palette import axes_or_new
from convspec.spectrum.result import FloatArray

__all__ = ["operator"]


def operator(
    op: ConvOperator,
    *,
    ax: Axes | None = None,
    pixels: int = 400,
    channels: bool = True,
    colorbar: bool = True,
    **kwargs: Any,
) -> Axes:
    """Heatmap of A: each cell shows the largest entry by magnitude, with its sign.

    The dense matrix is never built: nonzero entries are gathered into at most
    ``pixels`` x ``pixels`` cells. Colours are symmetric around zero.

    Args:
        op: The operator, real.
        ax: Axes to draw on.
        pixels: Most cells per side.
        channels: Whether to draw thin lines between channels.
        colorbar: Whether to add a colour bar.
        **kwargs: For ``Axes.imshow``.

    Raises:
        TooLargeError: If the sparse matrix is over the byte limit.
        ValueError: For a complex operator, or no pixels.
    """
    if op.dtype.is_complex:
        raise ValueError("the heatmap shows real entries; got a complex operator")
    if pixels < 1:
        raise ValueError(f"pixels must be at least 1; got {pixels}")
    ax = axes_or_new(ax, (4.8, 4.8 * min(2.0, max(0.5, op.shape[0] / op.shape[1]))))
    cells = _largest_entries(op, pixels)
    top = float(np.abs(cells).max()) or 1.0
    m, n = op.shape
    look: dict[str, Any] = {
        "cmap": "RdBu_r",
        "vmin": -top,
        "vmax": top,
        "interpolation": "nearest",
        "extent": (0, n, m, 0),
        "aspect": "auto",
    }
    image = ax.imshow(cells, **{**look, **kwargs})
    if channels:
        _channel_lines(ax, op)
    ax.set_xlabel(f"input, {_shape(op.input_shape)}")
    ax.set_ylabel(f"output, {_shape(op.output_shape)}")
    if colorbar and ax.figure is not None:
        ax.figure.colorbar(image, ax=ax, shrink=0.8, label="entry of largest magnitude")
    return ax


def _largest_entries(op: ConvOperator, pixels: int) -> FloatArray:
    """(rows, columns) of at most ``pixels`` each: the entry of largest magnitude."""
    entries = op.to_sparse().tocoo()
    m, n = op.shape
    rows, columns = min(m, pixels), min(n, pixels)
    row = entries.row.astype(np.int64) * rows // m
    cell = row * columns + entries.col.astype(np.int64) * columns // n
    high = np.zeros(rows * columns)
    low = np.zeros(rows * columns)
    np.maximum.at(high, cell, entries.data)
    np.minimum.at(low, cell, entries.data)
    return np.where(high >= -low, high, low).reshape(rows, columns)


def _channel_lines(ax: Axes, op: ConvOperator) -> None:
    """Lines between channels, where they are few enough to leave room."""
    for count, length, draw in (
        (op.output_shape[0], op.shape[0], ax.axhline),
        (op.input_shape[0], op.shape[1], ax.axvline),
    ):
        if count <= 64:
            for channel in range(1, count):
                draw(channel * length / count, color="0.55", linewidth=0.3)


def _shape(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))
