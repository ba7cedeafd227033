"""What a layer amplifies: a singular value of its symbol over the frequency square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes

from convspec.bounds import WorstCase
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator
from convspec.plot.canvas import (
    DIGITS,
    LARGE,
    axes_or_new,
    finish,
    legend_below,
    points,
    sigma,
)
from convspec.plot.palette import EXACT, SEQUENTIAL
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.spectrum import FrequencyResponse
from convspec.spectrum import frequency_response as sampled_response

__all__ = ["frequency_response"]

TURNS = (-math.pi, -math.pi / 2, 0.0, math.pi / 2, math.pi)
TURN_NAMES = ("$-\\pi$", "$-\\pi/2$", "0", "$\\pi/2$", "$\\pi$")
CONTOURS = 5


@isolated
def frequency_response(
    response: FrequencyResponse | ConvOperator,
    *,
    ax: Axes | None = None,
    index: int = 0,
    worst_case: WorstCase | None = None,
    slice: float | None = None,
    colorbar: bool = True,
    **kwargs: Any,
) -> Axes:
    """A singular value of the symbol over frequency, sigma_1 unless told.

    One axis is a curve, two a map with contour lines, of three a slice of the last. The
    sampled maximiser is marked, with its value in the legend; given the worst case also
    where that was found, and the certified supremum, which no sample exceeds. The zero
    frequency is a constant image, pi the finest checkerboard.

    Args:
        response: The samples, or an operator for those of
            :func:`convspec.frequency_response`.
        ax: Axes to draw on.
        index: 0 for sigma_1, 1 for sigma_2, ...
        worst_case: ``worst_case_norm`` of the same layer; belongs to ``index`` 0.
        slice: For three axes: the frequency of the last one, in radians; the nearest
            sample is taken. Unless told, that of the worst case or else the maximiser.
        colorbar: Whether a map has a colour bar.
        **kwargs: For ``Axes.plot`` or ``Axes.imshow``.

    Raises:
        TypeError: If the data are neither.
        ValueError: If there is no such singular value, a worst case is given for another
            than sigma_1, or a slice without three axes.
    """
    if isinstance(response, ConvOperator):
        response = sampled_response(response)
    _require(response, index, worst_case, slice)
    ax = axes_or_new(ax)
    values = response.values[..., index]
    place = response.maximiser(index)
    if response.dim == 3:
        values, place = _sliced(ax, response, index, worst_case, slice)
    if response.dim == 1:
        _curve(ax, response, values, place, index, worst_case, kwargs)
    else:
        _map(ax, response, values, place, index, worst_case, colorbar, kwargs)
    return ax


def _require(response: Any, index: int, worst: WorstCase | None, at: Any) -> None:
    if not isinstance(response, FrequencyResponse):
        raise TypeError(
            "frequency_response draws a FrequencyResponse or a ConvOperator; got "
            f"{type(response).__name__}; call convspec.frequency_response(op)"
        )
    count = response.values.shape[-1]
    if not 0 <= index < count:
        raise ValueError(
            f"index must be from 0, for sigma_1, to {count - 1}; got {index}"
        )
    if worst is not None and index:
        raise ValueError(
            f"the worst case is one of sigma_1, index 0; got index {index}; "
            "leave worst_case out"
        )
    if not np.isfinite(response.values).all():
        raise ValueError(
            "the response must be within float64; some values are beyond; draw that of "
            "op.with_weight(op.weight / 2**100), which is 2**100 times smaller"
        )
    if at is not None and response.dim != 3:
        raise ValueError(
            f"slice is for three axes; got {at} for {response.dim}; leave it out"
        )


def _sliced(
    ax: Axes,
    response: FrequencyResponse,
    index: int,
    worst: WorstCase | None,
    at: float | None,
) -> tuple[Any, tuple[float, ...]]:
    """The samples of one frequency of the last axis, and where they are largest."""
    last = response.frequencies[2]
    best = response.maximiser(index)
    wanted = best[2] if worst is None else response.place(worst, best)[2]
    if at is not None:
        wanted = at
    place = int(np.abs(last - wanted).argmin())
    values = response.values[:, :, place, index]
    i, j = np.unravel_index(int(values.argmax()), values.shape)
    ax.set_title(f"$\\omega_3 = {last[place] / math.pi:.3g}\\,\\pi$")
    first, second = response.frequencies[:2]
    return values, (float(first[i]), float(second[j]), float(last[place]))


def _curve(
    ax: Axes,
    response: FrequencyResponse,
    values: Any,
    place: tuple[float, ...],
    index: int,
    worst: WorstCase | None,
    look: dict[str, Any],
) -> None:
    (frequencies,) = response.frequencies
    # periodic: the value at -pi is also that at pi
    x, y = (
        np.append(frequencies, frequencies[0] + 2 * math.pi),
        np.append(values, values[0]),
    )
    ax.plot(x, y, **{"color": EXACT, "linestyle": "-", "label": sigma(index + 1), **look})
    top = float(values.max())
    ax.plot(
        [*place],
        [top],
        "o",
        color="black",
        label=_largest(top, response.dim),
        clip_on=False,
        zorder=3,
    )
    if worst is not None:
        ax.axhline(worst.upper, color="black", linestyle="--", linewidth=0.8)
        ax.plot(
            [response.place(worst, place)[0]],
            [worst.lower],
            "x",
            color="#D55E00",
            markersize=7,
            label=_certified(worst),
            clip_on=False,
        )
    ax.set_xlim(-math.pi, math.pi)
    ax.set_ylim(0, (1.0 if top == 0 and worst is None else None))
    ax.set_xticks(TURNS, TURN_NAMES)
    ax.set_xlabel("frequency $\\omega$")
    ax.set_ylabel(f"{sigma(index + 1)} of the symbol")
    ax.legend(loc="best")
    finish(ax)


def _map(
    ax: Axes,
    response: FrequencyResponse,
    values: Any,
    place: tuple[float, ...],
    index: int,
    worst: WorstCase | None,
    colorbar: bool,
    look: dict[str, Any],
) -> None:
    first, second = response.frequencies[:2]
    half = [math.pi / len(axis) for axis in (first, second)]
    extent = (
        second[0] - half[1],
        second[-1] + half[1],
        first[0] - half[0],
        first[-1] + half[0],
    )
    top = float(values.max())
    look = {
        "cmap": SEQUENTIAL,
        **({"vmin": 0.0, "vmax": 1.0} if top == 0 else {}),
        "origin": "lower",
        "interpolation": "nearest",
        "extent": extent,
        **look,
    }
    # colour bars add up their ends, which must not overflow
    unit = 10.0 ** math.floor(math.log10(top)) if top > LARGE else 1.0
    values = values / unit
    image = ax.imshow(values, **look)
    if min(values.shape) > 1 and np.ptp(values) > 1e-9 * top / unit:
        levels = np.linspace(float(values.min()), top / unit, CONTOURS + 2)[1:-1]
        ax.contour(
            second,
            first,
            values,
            levels=levels,
            colors="white",
            linewidths=0.5,
            alpha=0.7,
        )
    _marks(ax, response, top, place, worst)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    ax.set_xticks(TURNS[:-1], TURN_NAMES[:-1])
    ax.set_yticks(TURNS[:-1], TURN_NAMES[:-1])
    ax.set_xlabel("$\\omega_2$, across")
    ax.set_ylabel("$\\omega_1$, down")
    legend_below(ax, frameon=True, fontsize=points(0.85), handletextpad=0.3)
    if colorbar and ax.figure is not None:
        label = f"{sigma(index + 1)} of the symbol"
        label += "" if unit == 1 else f", in {unit:g}"
        ax.figure.colorbar(image, ax=ax, shrink=0.85, label=label)


def _marks(
    ax: Axes,
    response: FrequencyResponse,
    top: float,
    place: tuple[float, ...],
    worst: WorstCase | None,
) -> None:
    """The largest sample of a map, and where the certified supremum was found."""
    halo = [patheffects.withStroke(linewidth=2.0, foreground="white")]
    look: dict[str, Any] = {"linestyle": "", "path_effects": halo}
    ax.plot(
        [place[1]],
        [place[0]],
        marker="o",
        color="black",
        label=_largest(top, response.dim),
        **look,
    )
    if worst is None:
        return
    found = response.place(worst, place)
    x, y, label = [found[1]], [found[0]], _certified(worst)
    if response.dim == 3:
        half_step = math.pi / response.values.shape[2]
        if abs(math.remainder(found[2] - place[2], 2 * math.pi)) > 1.01 * half_step:
            x, y, label = [], [], f"{label}, in another slice"
    look |= {"marker": "x", "markersize": 7, "markeredgewidth": 1.5}
    ax.plot(x, y, color="#D55E00", label=label, **look)


def _largest(top: float, dim: int) -> str:
    return f"largest sample {rounded_down(top, DIGITS)}" + " in this slice" * (dim == 3)


def _certified(worst: WorstCase) -> str:
    least, most = rounded_down(worst.lower, DIGITS), rounded_up(worst.upper, DIGITS)
    if worst.supremum_gap < worst.gap and worst.gap > 1e-3:
        return f"certified: {least} to {most}, with padding"
    if worst.gap < 1e-4:
        return f"certified supremum \u2264 {most} (gap {worst.gap:.0e})"
    return f"certified supremum: {least} to {most}"
