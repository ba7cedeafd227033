"""ONNX's operations that move entries, by torch's: shapes, joins, slices, padding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from convspec.files.onnx_moving import MODES, padded_line
from convspec.files.onnx_operators.operands import Operands, Reader, Run

__all__ = ["READERS", "shown"]

# of an end that is beyond every axis
FAR = 2**62


def _reshape(given: Operands) -> Run:
    wanted, shape = given.listed("shape", 1) or [], given.shape(0)
    if not given.node.integer("allowzero", 0):
        if any(size == 0 and j >= len(shape) for j, size in enumerate(wanted)):
            raise given.refused(f"shape {wanted} keeps axes that {shape} has not")
        wanted = [shape[j] if size == 0 else size for j, size in enumerate(wanted)]
    return lambda x, *others: x.reshape(wanted)


def _flatten(given: Operands) -> Run:
    axis, rank = given.node.integer("axis", 1), given.rank()
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis <= rank:
        raise given.refused(f"axis {axis} is none of {rank}")
    rows = math.prod(given.shape(0)[:axis])
    columns = math.prod(given.shape(0)[axis:])
    return lambda x: x.reshape(rows, columns)


def _transpose(given: Operands) -> Run:
    order = given.node.integers("perm") or tuple(range(given.rank()))[::-1]
    return lambda x: x.permute(order)


def _squeeze(given: Operands) -> Run:
    listed, shape = given.listed("axes", 1), given.shape(0)
    if listed is None:
        axes = {axis for axis, size in enumerate(shape) if size == 1}
    else:
        axes = {given.along(axis) for axis in listed}
    if any(shape[axis] != 1 for axis in axes):
        raise given.refused(f"axes {sorted(axes)} of shape {shape} are not of size 1")
    wanted = [size for axis, size in enumerate(shape) if axis not in axes]
    return lambda x, *others: x.reshape(wanted)


def _unsqueeze(given: Operands) -> Run:
    listed = given.listed("axes", 1) or []
    rank = given.rank() + len(listed)
    axes = {given.along(axis, rank) for axis in listed}
    if len(axes) < len(listed):
        raise given.refused(f"axes {listed} must differ")
    sizes = iter(given.shape(0))
    wanted = [1 if axis in axes else next(sizes) for axis in range(rank)]
    return lambda x, *others: x.reshape(wanted)


def _concat(given: Operands) -> Run:
    axis = given.axis(1)
    return lambda *some: torch.cat(some, axis)


def _split(given: Operands) -> Run:
    axis, parts = given.axis(0), given.listed("split", 1)
    size, count = given.shape(0)[axis], len(given.node.outputs)
    if not parts:  # as even as can be, the last one smaller
        step = -(-size // count)
        parts = [max(0, min(step, size - step * turn)) for turn in range(count)]
    if sum(parts) != size or min(parts) < 0 or len(parts) != count:
        raise given.refused(f"parts {parts} must add up to {size} and be {count}")
    return lambda x, *others: torch.split(x, parts, axis)


def _slice(given: Operands) -> Run:
    starts, ends = given.listed("starts", 1), given.listed("ends", 2)
    if starts is None or ends is None:
        raise given.refused("where it starts and ends is missing")
    axes = given.listed("axes", 3)
    axes = list(range(len(starts))) if axes is None else axes
    steps = given.integers(4) if given.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise given.refused("its starts, ends, axes and steps must be as many")
    spans: dict[int, range] = {}
    for first, last, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = given.along(axis)
        size = given.shape(0)[place]
        spans[place] = range(*slice(first, _end(last, size, step), step).indices(size))

    def run(x: Tensor, *others: Tensor) -> Tensor:
        for axis, span in spans.items():
            if span.step < 0:
                x = x.flip(axis)
                size = x.shape[axis]
                span = range(size - 1 - span.start, size - 1 - span.stop, -span.step)
            index = [slice(None)] * x.ndim
            index[axis] = slice(span.start, max(span.start, span.stop), span.step)
            x = x[tuple(index)]
        return x

    return run


def _end(last: int, size: int, step: int) -> int | None:
    """An end as Python has it; below the first entry, going down, it is None there."""
    if step > 0:
        return min(last, FAR)
    return None if last < -size else max(last, -FAR)


def _pad(given: Operands) -> Run:
    node, rank = given.node, given.rank()
    own = node.integers("pads") or node.integers("paddings")
    amounts = given.integers(1) if own is None else list(own)
    axes = given.integers(3) if given.has(3) else list(range(rank))
    mode, value = node.text("mode", "constant"), given.number("value", 2, 0.0)
    if len(amounts) != 2 * len(axes) or mode not in MODES:
        raise given.refused(f"it pads by {amounts} along {len(axes)} axes, {mode}")
    pairs = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        pairs[given.along(axis)] = amounts[place], amounts[place + len(axes)]
    sizes = [
        max(0, n + before + behind)
        for n, (before, behind) in zip(given.shape(0), pairs, strict=True)
    ]
    given.require_entries(math.prod(map(float, sizes)))
    if mode == "constant":
        flat = [amount for pair in reversed(pairs) for amount in pair]
        return lambda x, *others: functional.pad(x, flat, value=value)
    if min(amounts, default=0) < 0:
        raise given.refused(f"{mode} padding by less than nothing is not read")
    if pairs[:2] == [(0, 0)] * 2 and 3 <= rank <= 5:
        flat = [amount for pair in reversed(pairs[2:]) for amount in pair]
        torchs = MODES[mode]
        return lambda x, *others: functional.pad(x, flat, mode=torchs)
    return _by_places(given, pairs, mode)


def _by_places(given: Operands, pairs: Sequence[tuple[int, int]], mode: str) -> Run:
    """Copies of entries along each axis, of which torch pads some alone."""
    lines: dict[int, list[int]] = {}
    for axis, (pair, size) in enumerate(zip(pairs, given.shape(0), strict=True)):
        found = padded_line(size, *pair, MODES[mode]) if any(pair) else None
        if any(pair) and found is None:
            raise given.refused(f"{mode} padding of {size} entries by {pair} is none")
        if found is not None:
            lines[axis] = found.tolist()
    return shown(lines)


def shown(lines: Mapping[int, Sequence[int]]) -> Run:
    """Of each of these axes the entries at places of it, in this order."""

    def run(x: Tensor, *others: Tensor) -> Tensor:
        for axis, places in lines.items():
            index = torch.tensor(places, dtype=torch.int64, device=x.device)
            x = torch.index_select(x, axis, index)
        return x

    return run


def _expand(given: Operands) -> Run:
    shape = given.broadcast(given.shape(0), given.integers(1))
    given.require_entries(math.prod(map(float, shape)))
    return lambda x, *others: torch.broadcast_to(x, shape)


def _tile(given: Operands) -> Run:
    repeats = given.integers(1)
    sizes = zip(given.shape(0), repeats, strict=True)
    given.require_entries(math.prod(float(n) * max(0, times) for n, times in sizes))
    return lambda x, *others: x.repeat(repeats)


def _gather(given: Operands) -> Run:
    """Entries of one axis by their places, which come in any shape."""
    if 1 in given.data:
        raise given.refused("which entries it reads depends on the model's input")
    axis, shape = given.axis(0), given.shape(0)
    places = [_counted(given, each, shape[axis]) for each in given.integers(1)]
    wanted = (*shape[:axis], *given.shape(1), *shape[axis + 1 :])
    given.require_entries(math.prod(map(float, wanted)))

    def run(x: Tensor, *others: Tensor) -> Tensor:
        index = torch.tensor(places, dtype=torch.int64, device=x.device)
        return torch.index_select(x, axis, index).reshape(wanted)

    return run


def _counted(given: Operands, place: int, size: int) -> int:
    if not -size <= place < size:
        raise given.refused(f"place {place} is none of {size}")
    return place % size


def _gather_elements(given: Operands) -> Run:
    if 1 in given.data:
        raise given.refused("which entries it reads depends on the model's input")
    axis = given.axis(0)
    size = given.shape(0)[axis]
    return lambda x, index: torch.gather(
        x, axis, torch.where(index < 0, index + size, index)
    )


def _depth_to_space(given: Operands) -> Run:
    """Channels as pixels of blocks: ``DCR`` has those first, ``CRD`` has them last."""
    n, c, height, width = given.shape(0)
    b = given.node.integer("blocksize", 1)
    if b < 1 or c % b**2:
        raise given.refused(f"{c} channels are none of blocks of {b}")
    if given.node.text("mode", "DCR") == "CRD":
        return lambda x: functional.pixel_shuffle(x, b)
    parts = n, b, b, c // b**2, height, width
    whole = n, c // b**2, height * b, width * b
    return lambda x: x.reshape(parts).permute(0, 3, 4, 1, 5, 2).reshape(whole)


def _space_to_depth(given: Operands) -> Run:
    n, c, height, width = given.shape(0)
    b = given.node.integer("blocksize", 1)
    if b < 1 or height % b or width % b:
        raise given.refused(f"{height} x {width} pixels are none of blocks of {b}")
    parts = n, c, height // b, b, width // b, b
    whole = n, c * b**2, height // b, width // b
    return lambda x: x.reshape(parts).permute(0, 3, 5, 1, 2, 4).reshape(whole)


def _triangle(given: Operands) -> Run:
    shift = given.integers(1)[0] if given.has(1) else 0
    upper = bool(given.node.integer("upper", 1))
    return lambda x, *others: torch.triu(x, shift) if upper else torch.tril(x, shift)


READERS: dict[str, Reader] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
