"""Singular values of one or several operators on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from convspec.plot.palette import CYCLE, axes_or_new
from convspec.spectrum import Spectrum

__all__ = ["compare", "spectrum"]


def spectrum(
    spec: Spectrum,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    annotate: bool = False,
    **kwargs: Any,
) -> Axes:
    """Singular values in descending order over the fraction of their index.

    Values at or below the rank tolerance are numerical zeros: they are drawn as a dotted
    line at that tolerance, and counted in the label.

    Args:
        spec: The spectrum.
        ax: Axes to draw on.
        label: Name in the legend.
        annotate: Whether to write rank and condition number into the axes.
        **kwargs: For ``Axes.plot``.
    """
    ax = axes_or_new(ax, (4.5, 3.2))
    values = spec.values
    total = min(spec.shape)
    tolerance = max(spec.shape) * spec.eps * float(values[0])
    zeros = int((values <= tolerance).sum()) if spec.complete else 0
    first = 0 if spec.which == "largest" or spec.complete else total - len(values)
    place = (first + np.arange(len(values)) + 0.5) / total
    shown = int((values[: len(values) - zeros] > 0).sum())
    if label and zeros:
        label = f"{label} ({zeros} numerical zeros)"
    kwargs.setdefault("linewidth", 1.6)
    (line,) = ax.plot(place[:shown], values[:shown], label=label, **kwargs)
    if zeros and tolerance > 0:
        floor = np.full(zeros, tolerance)
        color = line.get_color()
        ax.plot(
            place[len(values) - zeros :], floor, color=color, linestyle=":", linewidth=1.6
        )
    if shown:  # a logarithmic axis has no place for zeros alone
        ax.set_yscale("log")
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"index / {total}" if ax.get_xlabel() == "" else "index / min(m, n)")
    ax.set_ylabel("singular value")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    if annotate and spec.complete:
        text = f"rank {spec.rank()} of {total}\ncond {spec.condition_number:.3g}"
        ax.text(0.03, 0.05, text, transform=ax.transAxes, va="bottom")
    return ax


def compare(
    spectra: Mapping[str, Spectrum], *, ax: Axes | None = None, **kwargs: Any
) -> Axes:
    """Several spectra on one axis, in the mapping's order, with a legend.

    Args:
        spectra: Label -> spectrum.
        ax: Axes to draw on.
        **kwargs: For ``Axes.plot``.

    Raises:
        ValueError: Without any spectrum.
    """
    if not spectra:
        raise ValueError("compare needs at least one spectrum; got none")
    ax = axes_or_new(ax, (4.5, 3.2))
    styles = ("-", "--", "-.")
    for place, (label, spec) in enumerate(spectra.items()):
        color = CYCLE[place % len(CYCLE)]
        style = styles[place % len(styles)]
        look = {"color": color, "linestyle": style, **kwargs}
        spectrum(spec, ax=ax, label=label, **look)
    ax.legend(frameon=False)
    return ax
