"""Hypothesis strategies for the space of convolutions, one to three axes.

A drawn :class:`tests.cases.Case` is valid by construction and small enough for the plain
loops of ``oracles``.
"""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import torch

from tests.cases import Case, Pads, same_padding

MODES = ("zeros", "circular", "reflect", "replicate")  # of torch's layers
EVERY_MODE = (*MODES, "symmetric")

# by number of axes: the longest kernel, the taps and pixels of all axes, the padding
KERNEL = {1: 7, 2: 4, 3: 4}
TAPS = {1: 7, 2: 16, 3: 18}
PIXELS = {1: 12, 2: 49, 3: 48}
SCATTERED_PIXELS = {1: 12, 2: 25, 3: 12}  # of transposed ones, whose outputs are larger
PADDING = {1: 5, 2: 3, 3: 2}
ENTRIES = 50_000  # of a matrix, where the channels can still be chosen
READS = 6_000  # steps of the innermost loop of the oracles


@st.composite
def convolutions(draw: st.DrawFn, dim: int, asymmetric: bool = False) -> Case:
    """Convolutions of ``dim`` axes, if ``asymmetric`` with what torch's layers lack.

    That is (before, after) pairs, symmetric padding, and a mode of each axis.
    """
    mode: str | tuple[str, ...] = draw(
        st.sampled_from(EVERY_MODE if asymmetric else MODES)
    )
    if asymmetric and draw(st.booleans()):
        mode = tuple(draw(st.sampled_from(EVERY_MODE)) for _ in range(dim))
    size = _lengths(draw, dim, PIXELS[dim], 12 if dim == 1 else 7)
    stride = _numbers(draw, dim, 3)
    modes = [mode] * dim if isinstance(mode, str) else mode
    limit = [_most_padding(m, n, dim) for m, n in zip(modes, size, strict=True)]
    span = [n + 2 * most for n, most in zip(size, limit, strict=True)]
    kernel, dilation = _fitting(
        _lengths(draw, dim, TAPS[dim], KERNEL[dim]), _numbers(draw, dim, 3), span
    )
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    missing = [max(0, e - n) for e, n in zip(extent, size, strict=True)]
    padding: str | tuple[int, ...] | Pads
    if asymmetric:
        padding = tuple(_pair(draw, *need) for need in zip(missing, limit, strict=True))
    else:
        same = [same_padding(k, d)[1] for k, d in zip(kernel, dilation, strict=True)]
        fits = max(stride) == 1 and all(map(int.__le__, same, limit))
        padding = _padding(draw, missing, limit, fits)
    outputs = [-(-n // s) for n, s in zip(span, stride, strict=True)]
    channels = _channels(draw, kernel, size, outputs)
    return Case(
        **channels,
        kernel=kernel,
        size=size,
        stride=stride,
        dilation=dilation,
        padding=padding,
        padding_mode=mode,
    )


@st.composite
def transposed(draw: st.DrawFn, dim: int, asymmetric: bool = False) -> Case:
    """Transposed convolutions, ``output_padding`` up to max(stride, dilation) - 1."""
    size = _lengths(draw, dim, SCATTERED_PIXELS[dim], 7)
    kernel = _lengths(draw, dim, TAPS[dim], KERNEL[dim])
    stride, dilation = _numbers(draw, dim, 3), _numbers(draw, dim, 3)
    extra = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(size, kernel, stride, dilation, extra, strict=True)
    ]
    limit = [min(PADDING[dim], (m - 1) // 2) for m in full]
    padding: tuple[int, ...] | Pads
    if asymmetric:
        padding = tuple(_pair(draw, 0, most) for most in limit)
    elif draw(st.booleans()):
        padding = (draw(st.integers(0, min(limit))),) * dim
    else:
        padding = tuple(draw(st.integers(0, most)) for most in limit)
    channels = _channels(draw, kernel, size, full)
    return Case(
        **channels,
        kernel=kernel,
        size=size,
        stride=stride,
        dilation=dilation,
        padding=padding,
        transposed=True,
        output_padding=extra,
    )


@st.composite
def circulants(draw: st.DrawFn, dim: int) -> Case:
    """Convolutions on a torus: n / stride outputs per axis, any split of the padding.

    The kernel may be longer than the torus, as long as it does not wrap twice.
    """
    stride = _numbers(draw, dim, 3)
    outputs = _lengths(draw, dim, PIXELS[dim] // math.prod(stride) or 1, 7)
    size = tuple(m * s for m, s in zip(outputs, stride, strict=True))
    kernel, dilation = _fitting(
        _lengths(draw, dim, TAPS[dim], KERNEL[dim]),
        _numbers(draw, dim, 3),
        [2 * n + s for n, s in zip(size, stride, strict=True)],
    )
    padding: list[tuple[int, int]] = []
    for n, k, d, s in zip(size, kernel, dilation, stride, strict=True):
        total = max(0, d * (k - 1) + 1 - s)
        before = draw(st.integers(max(0, total - n), min(total, n)))
        padding.append((before, total - before))
    return Case(
        **_channels(draw, kernel, size, list(outputs)),
        kernel=kernel,
        size=size,
        stride=stride,
        dilation=dilation,
        padding=tuple(padding),
        padding_mode="circular",
    )


def asymmetric() -> st.SearchStrategy[Case]:
    """Both kinds with a (before, after) pair per axis, which torch's layers lack."""
    return st.one_of(
        *[convolutions(dim, True) for dim in (1, 2, 3)],
        *[transposed(dim, True) for dim in (1, 2, 3)],
    )


def layers() -> st.SearchStrategy[Case]:
    """Every kind of case that torch has a layer for."""
    return st.one_of(
        *[convolutions(dim) for dim in (1, 2, 3)],
        *[transposed(dim) for dim in (1, 2, 3)],
    )


def any_case() -> st.SearchStrategy[Case]:
    """Every kind of case."""
    return st.one_of(layers(), asymmetric())


# by name, each in every number of dimensions
KINDS = {
    **{f"conv{d}d": convolutions(d) for d in (1, 2, 3)},
    **{f"transposed{d}d": transposed(d) for d in (1, 2, 3)},
    **{f"circulant{d}d": circulants(d) for d in (1, 2, 3)},
    "asymmetric": asymmetric(),
}


def _most_padding(mode: str, size: int, dim: int) -> int:
    if mode in ("circular", "symmetric"):
        return min(PADDING[dim], size)
    if mode == "reflect":
        return min(PADDING[dim], size - 1)
    return PADDING[dim]


def _numbers(draw: st.DrawFn, dim: int, most: int) -> tuple[int, ...]:
    """Per axis a number of 1 to ``most``, the same for all half of the time."""
    if draw(st.booleans()):
        return (draw(st.integers(1, most)),) * dim
    return tuple(draw(st.integers(1, most)) for _ in range(dim))


def _lengths(draw: st.DrawFn, dim: int, product: int, most: int) -> tuple[int, ...]:
    """Per axis a length up to ``most``, in all no more than ``product``."""
    lengths: list[int] = []
    for _ in range(dim):
        lengths.append(draw(st.integers(1, min(product, most))))
        product //= lengths[-1]
    return tuple(draw(st.permutations(lengths)))


def _fitting(
    kernel: tuple[int, ...], dilation: tuple[int, ...], span: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Dilation, then kernel, reduced until the padded input holds the extent."""
    pairs = []
    for k, d, room in zip(kernel, dilation, span, strict=True):
        while d > 1 and d * (k - 1) + 1 > room:
            d -= 1
        pairs.append((min(k, room), d))
    return tuple(k for k, _ in pairs), tuple(d for _, d in pairs)


def _pair(draw: st.DrawFn, missing: int, most: int) -> tuple[int, int]:
    """(before, after) that add at least ``missing`` pixels."""
    before = draw(st.integers(max(0, missing - most), most))
    return before, draw(st.integers(max(0, missing - before), most))


def _padding(
    draw: st.DrawFn, missing: list[int], limit: list[int], same: bool
) -> str | tuple[int, ...]:
    """'same' or 'valid' where they can stand, one number, or one per axis."""
    least = [(m + 1) // 2 for m in missing]
    kind = draw(st.sampled_from(("same", "valid", "number", "per axis")))
    if kind == "same" and same:
        return "same"
    if kind == "valid" and not any(missing):
        return "valid"
    if kind == "number" and max(least) <= min(limit):
        return (draw(st.integers(max(least), min(limit))),) * len(limit)
    return tuple(draw(st.integers(*ends)) for ends in zip(least, limit, strict=True))


def _channels(
    draw: st.DrawFn, kernel: tuple[int, ...], size: tuple[int, ...], outputs: list[int]
) -> dict[str, Any]:
    """Channels within the budget of the oracles, and what else makes a weight."""
    rows, columns, taps = map(math.prod, (outputs, size, kernel))
    room = min(READS // (min(rows, columns) * taps), ENTRIES // (rows * columns))
    groups = draw(st.integers(1, max(1, min(3, math.isqrt(room)))))
    room //= groups * groups
    c_in = draw(st.integers(1, max(1, min(3, room))))
    c_out = draw(st.integers(1, max(1, min(3, room // c_in))))
    return {
        "c_in": groups * c_in,
        "c_out": groups * c_out,
        "groups": groups,
        "bias": draw(st.booleans()),
        "pruned": draw(st.booleans()),
        "dtype": draw(st.sampled_from((torch.float64,) * 4 + (torch.complex128,))),
        "seed": draw(st.integers(0, 2**16)),
    }
