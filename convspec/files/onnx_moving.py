"""ONNX's Pad and Slice as tables: the pixel that each place of an axis shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convspec.arrays import IntArray
from convspec.files.onnx_constants import Constants
from convspec.files.onnx_program import Node
from convspec.operators.axis import Axis
from convspec.operators.padding_mode import most_padding

__all__ = ["MOST_PLACES", "lines_of", "padded_line", "source_name"]

MODES = {
    "constant": "zeros",
    "reflect": "reflect",
    "edge": "replicate",
    "wrap": "circular",
}
MOST_PLACES = 2**22  # along an axis
MOST_PARTS = 64  # that are joined


def lines_of(
    node: Node, constants: Constants, sizes: tuple[int, ...]
) -> list[IntArray] | None:
    """The pixel that each place of each axis shows, -1 for a constant.

    None if batch or channels change, or amounts are not known, or axes too long.

    Args:
        node: A Pad or a Slice, an Identity, or a Concat of slices; None for others.
        constants: Where its amounts are.
        sizes: Pixels per axis of what it reads, behind batch and channels.
    """
    if max(sizes) > MOST_PLACES:
        return None
    if node.is_standard("Identity"):
        return [np.arange(size, dtype=np.int64) for size in sizes]
    if node.is_standard("Pad"):
        return _padded(node, constants, sizes)
    if node.is_standard("Slice"):
        return _sliced(node, constants, sizes)
    if node.is_standard("Concat"):
        return _joined(node, constants, sizes)
    return None


def source_name(node: Node, constants: Constants) -> str:
    """The value that an operation of :func:`lines_of` shows; empty if it is not one.

    Slices of one value that are joined, as circular padding is written, show that one.
    """
    first = node.input(0)
    if not node.is_standard("Concat"):
        return first
    for name in (first, _sliced_from(first, constants)):
        if name and all(
            name in (each, _sliced_from(each, constants)) for each in node.inputs
        ):
            return name
    return ""


def _sliced_from(name: str, constants: Constants) -> str:
    """What a value is a slice of; empty if it is none."""
    node = constants.makers.get(name)
    return node.input(0) if node is not None and node.is_standard("Slice") else ""


def _joined(
    node: Node, constants: Constants, sizes: tuple[int, ...]
) -> list[IntArray] | None:
    source, rank = source_name(node, constants), len(sizes) + 2
    axis = node.integer("axis", 0)
    axis = axis + rank if axis < 0 else axis
    if not source or not 2 <= axis < rank or len(node.inputs) > MOST_PARTS:
        return None
    whole = [np.arange(size, dtype=np.int64) for size in sizes]
    parts = []
    for name in node.inputs:
        part: list[IntArray] | None = whole
        if name != source:
            part = _sliced(constants.makers[name], constants, sizes)
        if part is None:
            return None
        if any(j != axis - 2 and len(own) != sizes[j] for j, own in enumerate(part)):
            return None
        parts.append(part[axis - 2])
    whole[axis - 2] = np.concatenate(parts)
    return whole


def _padded(
    node: Node, constants: Constants, sizes: tuple[int, ...]
) -> list[IntArray] | None:
    own = node.integers("pads") or node.integers("paddings")
    amounts = constants.integers(node.input(1)) if own is None else own
    axes = _axes(node, constants, 3, len(sizes) + 2)
    mode = MODES.get(node.text("mode", "constant"))
    computed = bool(node.input(2)) and not constants.source(node.input(2))
    if amounts is None or axes is None or mode is None or computed:
        return None
    if len(amounts) != 2 * len(axes):
        return None
    half = len(axes)
    pairs = dict(zip(axes, zip(amounts[:half], amounts[half:], strict=True), strict=True))
    if any(pairs.pop(axis, (0, 0)) != (0, 0) for axis in (0, 1)):
        return None
    lines = [
        padded_line(size, *pairs.get(2 + j, (0, 0)), mode) for j, size in enumerate(sizes)
    ]
    known = [line for line in lines if line is not None]
    return known if len(known) == len(lines) else None


def padded_line(size: int, before: int, after: int, mode: str) -> IntArray | None:
    """The places of a padded axis; None if torch's mode of that name has none."""
    ahead, behind = max(0, before), max(0, after)
    if ahead + size + behind > MOST_PLACES or size + min(0, before) + min(0, after) < 1:
        return None
    most = most_padding(mode, size)
    beyond = most is not None and max(ahead, behind) > most
    if beyond or (mode != "zeros" and min(before, after) < 0):
        return None
    whole = Axis(size, 1, 1, before=ahead, after=behind, mode=mode).padded
    return whole[max(0, -before) : len(whole) - max(0, -after)]


def _sliced(
    node: Node, constants: Constants, sizes: tuple[int, ...]
) -> list[IntArray] | None:
    first = node.integers("starts") or constants.integers(node.input(1))
    last = node.integers("ends") or constants.integers(node.input(2))
    axes = _axes(node, constants, 3, len(sizes) + 2, given=len(first or ()))
    steps = constants.integers(node.input(4)) if node.input(4) else [1] * len(first or ())
    if first is None or last is None or axes is None or steps is None:
        return None
    if not len(first) == len(last) == len(axes) == len(steps) or set(steps) - {1}:
        return None
    spans = {axis: slice(a, b) for axis, a, b in zip(axes, first, last, strict=True)}
    if any(axis < 2 for axis in spans):
        return None
    lines = [
        np.arange(size, dtype=np.int64)[spans.get(2 + j, slice(None))]
        for j, size in enumerate(sizes)
    ]
    return lines if all(len(line) for line in lines) else None


def _axes(
    node: Node, constants: Constants, place: int, rank: int, given: int | None = None
) -> Sequence[int] | None:
    """The axes an operation is about, from 0 up; None if they are not known."""
    own = node.integers("axes")
    if own is None and node.input(place):
        own_or_none = constants.integers(node.input(place))
        if own_or_none is None:
            return None
        own = tuple(own_or_none)
    if own is None:
        own = tuple(range(rank if given is None else given))
    axes = [axis % rank for axis in own if -rank <= axis < rank]
    return axes if len(set(axes)) == len(own) else None
