"""Singular vectors as images: what a layer amplifies most, and what it makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from convspec.arguments import shown
from convspec.arrays import AnyArray, FloatArray
from convspec.isolation import isolated
from convspec.plot.canvas import axes_or_new, finish, points, sigma
from convspec.plot.palette import CYCLE, DIVERGING
from convspec.spectrum import Spectrum

__all__ = ["singular_vectors"]

GAP = 0.08  # between pictures, in widths of one
PARTS = {"real": "Re", "imag": "Im"}
STYLES = ("-", "--", "-.", ":")


@isolated
def singular_vectors(
    spec: Spectrum,
    *,
    ax: Axes | None = None,
    side: Literal["right", "left"] = "right",
    indices: int | Sequence[int] = 4,
    channels: int = 3,
    rgb: bool = True,
    part: Literal["real", "imag"] = "real",
    **kwargs: Any,
) -> Axes:
    """Singular vectors side by side, as pictures of the input or of the output.

    A vector's sign means nothing: that of v is chosen so that its entry of largest
    magnitude is positive, and u goes with it, so that A v = sigma u between the two
    pictures; of complex vectors that entry is made real, and one part is shown. Each
    vector has a scale of its own, its largest magnitude, with zero in
    the middle of the colours. Three channels are shown as one RGB image, grey for zero;
    of more, the channels that hold most of the vector's energy, with their share. Of
    three axes the slice of the first with most energy is shown. One axis gives curves,
    one vector above another.

    Args:
        spec: A spectrum with vectors.
        ax: Axes to draw on.
        side: ``"right"`` for the inputs v, ``"left"`` for the outputs u.
        indices: Places of the values in the spectrum, or the number of the first ones.
        channels: Most channels that are shown of each, if they are not RGB.
        rgb: Whether three channels are an RGB image.
        part: Of complex vectors: their real or their imaginary part.
        **kwargs: For ``Axes.imshow``, or ``Axes.plot`` for one axis.

    Raises:
        ValueError: If the spectrum has no vectors, an index is not there, or the side or
            the part is another.
        TypeError: If it is no spectrum.
    """
    if not isinstance(spec, Spectrum):
        raise TypeError(
            f"singular_vectors draws a Spectrum; got {type(spec).__name__}; "
            "call spectrum(op, k, vectors=True)"
        )
    if side not in ("right", "left"):
        raise ValueError(f"side must be 'right' or 'left'; got {shown(side)}")
    if part not in ("real", "imag"):
        raise ValueError(f"part must be 'real' or 'imag'; got {shown(part)}")
    if channels < 1:
        raise ValueError(f"channels must be at least 1; got {channels}")
    chosen = _chosen(spec, indices)
    vectors = _signed(spec, side)[chosen]  # (v, channels, *size)
    names = [_name(spec, place) for place in chosen]
    if np.iscomplexobj(vectors):
        vectors = getattr(vectors, part)
        names = [f"{name}, {PARTS[part]}" for name in names]
    if vectors.ndim == 3:
        return _curves(axes_or_new(ax), vectors, names, channels, kwargs)
    columns = [_pictures(vector, channels, rgb) for vector in vectors]
    high, wide = vectors.shape[-2:]
    most = max(map(len, columns))
    height = None
    if ax is None:
        width = axes_width(len(columns))
        height = 0.4 + width / len(columns) * most * (high / wide + GAP)
        ax = axes_or_new(None, width=width, height=height)
    _montage(ax, columns, names, high / wide, kwargs)
    return ax


def axes_width(columns: int) -> float:
    """Inches for so many pictures in a row."""
    return min(7.0, max(1.2, 1.1 * columns))


def _chosen(spec: Spectrum, indices: int | Sequence[int]) -> list[int]:
    count = len(spec.values)
    if isinstance(indices, int):
        if indices < 1:
            raise ValueError(f"there must be at least one vector; got {indices}")
        return list(range(min(indices, count)))
    chosen = list(indices)
    wrong = [place for place in chosen if not 0 <= place < count]
    if wrong or not chosen:
        raise ValueError(f"indices must be from 0 to {count - 1}; got {chosen}")
    return chosen


def _signed(spec: Spectrum, side: str) -> AnyArray:
    """The vectors with the sign or phase that makes the largest entry of v positive."""
    if spec.right is None or spec.left is None:
        raise ValueError(
            "singular_vectors needs a spectrum with vectors; this one has none; "
            f"call spectrum(op, k={min(8, len(spec.values))}, vectors=True)"
        )
    full = torch.complex128 if spec.right.is_complex() else torch.float64
    right = spec.right.detach().cpu().to(full).numpy()
    flat = right.reshape(len(right), -1)
    peak = np.take_along_axis(flat, np.abs(flat).argmax(axis=1)[:, None], axis=1)[:, 0]
    chosen = right
    if side == "left":
        chosen = spec.left.detach().cpu().to(full).numpy()
    turned = np.conj(np.where(peak == 0, 1.0, peak))
    turned = turned / np.abs(turned)
    signed: AnyArray = chosen * turned.reshape(-1, *[1] * (chosen.ndim - 1))
    return signed


def _name(spec: Spectrum, place: int) -> str:
    total = min(spec.shape)
    smallest = not spec.complete and spec.which == "smallest"
    index = place + 1 + (total - len(spec.values) if smallest else 0)
    return f"{sigma(index)} = {spec.values[place]:.3g}"


def _pictures(vector: FloatArray, most: int, rgb: bool) -> list[tuple[FloatArray, str]]:
    """Images in [-1, 1], (h, w), or one in [0, 1], (h, w, 3), each with its words."""
    if vector.ndim == 4:  # the slice that holds most
        place = int((vector**2).sum(axis=(0, 2, 3)).argmax())
        depth, vector = f"slice {place}", vector[:, place]
    else:
        depth = ""
    scale = float(np.abs(vector).max()) or 1.0
    if len(vector) == 3 and rgb:
        return [(0.5 + 0.5 * np.moveaxis(vector, 0, -1) / scale, depth)]
    energy = (vector**2).sum(axis=(1, 2))
    total = float(energy.sum()) or 1.0
    order = np.argsort(-energy, kind="stable")[:most]
    found = []
    for channel in order:
        words = f"ch {channel}, {energy[channel] / total:.0%}" if len(vector) > 1 else ""
        words = ", ".join(part for part in (depth, words) if part)
        found.append((vector[channel] / scale, words))
    return found


def _montage(
    ax: Axes,
    columns: list[list[tuple[FloatArray, str]]],
    names: list[str],
    ratio: float,
    look: dict[str, Any],
) -> None:
    """Pictures of width 1 and height ``ratio``, names above, words below them."""
    words = any(text for column in columns for _, text in column)
    size = points(0.75)
    # what a line of text takes, in widths of a picture
    room = 0.2 if words else GAP
    for place, (column, name) in enumerate(zip(columns, names, strict=True)):
        left = place * (1 + GAP)
        for row, (picture, text) in enumerate(column):
            top = row * (ratio + room)
            extent = (left, left + 1, top + ratio, top)
            options: dict[str, Any] = {"extent": extent, "interpolation": "nearest"}
            if picture.ndim == 2:
                options |= {"cmap": DIVERGING, "vmin": -1.0, "vmax": 1.0}
            ax.imshow(picture, **(options | look))
            ax.add_patch(
                Rectangle(
                    (left, top),
                    1,
                    ratio,
                    fill=False,
                    edgecolor="0.6",
                    linewidth=0.4,
                    clip_on=False,
                )
            )
            middle = left + 0.5, top + ratio
            if text:
                ax.annotate(
                    text, middle, (0, -1), textcoords="offset points", fontsize=size,
                    ha="center", va="top", color="0.35",
                )  # fmt: skip
        ax.annotate(
            name, (left + 0.5, 0), (0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=points(0.9),
        )  # fmt: skip
    rows = max(map(len, columns))
    ax.set_xlim(0, len(columns) * (1 + GAP) - GAP)
    ax.set_ylim(rows * (ratio + room) - (0 if words else room), 0)
    ax.set_aspect("equal")
    ax.axis("off")


def _curves(
    ax: Axes, vectors: FloatArray, names: list[str], most: int, look: dict[str, Any]
) -> Axes:
    """Each vector over its position, one above another, on its own scale."""
    for row, vector in enumerate(vectors):
        scale = 2.4 * (float(np.abs(vector).max()) or 1.0)
        order = np.argsort(-(vector**2).sum(axis=1), kind="stable")[:most]
        ax.axhline(row, color="0.85", linewidth=0.6)
        for place, channel in enumerate(order):
            options = {
                "color": CYCLE[place % len(CYCLE)],
                "linestyle": STYLES[place % len(STYLES)],
                **look,
            }
            # downwards, as the axis is
            ax.plot(row - vector[channel] / scale, **options)
            if len(vector) > 1 and math.isfinite(scale):
                ax.annotate(
                    f"ch {channel}",
                    (1, 1 - (row + 0.5 + 0.22 * (place - 1)) / len(vectors)),
                    (3, 0), xycoords="axes fraction", textcoords="offset points",
                    color=options["color"], fontsize=points(0.75), va="center",
                )  # fmt: skip
    ax.set_ylim(len(vectors) - 0.5, -0.5)
    ax.set_xlim(0, max(1, vectors.shape[-1] - 1))
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("position")
    finish(ax, grid=None, left=False)
    return ax
