"""Where the entries of a tensor come from, through operations that only move them.

Padding, slicing, flipping and joining copy entries and put zeros beside them. Such
operations are run again on an image that holds the places of its own entries, and the
result says where each entry was: whatever the operations are, and however they share
memory on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from convspec.model.event import Event, Value

__all__ = ["MOST_ENTRIES", "Moved", "called_on", "moved_back", "moved_on"]

# operations that copy entries, or put constants beside them
MOVING = frozenset(
    {
        "alias",
        "cat",
        "clone",
        "constant_pad_nd",
        "copy_",
        "detach",
        "empty",
        "empty_like",
        "flip",
        "contiguous",
        "narrow",
        "new_empty",
        "new_zeros",
        "pad",
        "reflection_pad1d",
        "reflection_pad2d",
        "reflection_pad3d",
        "replication_pad1d",
        "replication_pad2d",
        "replication_pad3d",
        "reshape",
        "roll",
        "slice",
        "squeeze",
        "unsqueeze",
        "_unsafe_view",
        "view",
        "zeros",
        "zeros_like",
    }
)
# those that pad, whose result differs from what they read
PADDING = frozenset(name for name in MOVING if "pad" in name)
# entries of an image of places, at most: of 8 bytes each
MOST_ENTRIES = 2**26


@dataclass(frozen=True)
class Moved:
    """A tensor as a copy of another's entries.

    Attributes:
        source: The other.
        places: For every entry, one more than the flat place of its source, or 0 for a
            zero; int64.
        first: The place of the first operation on the way among all.
        last: The place of the last one.
        pads: Whether an operation on the way pads.
        paths: The modules that they ran in.
    """

    source: Value
    places: Tensor
    first: int
    last: int
    pads: bool
    paths: frozenset[tuple[str, ...]]


def moved_back(events: Sequence[Event], at: int, value: Value) -> Iterator[Moved]:
    """What a value read by an operation is a copy of, nearest first.

    Args:
        events: In order.
        at: Place of the operation that reads the value.
        value: It.
    """
    storages, chain = {value.storage}, list[int]()
    for place in range(at - 1, -1, -1):
        event = events[place]
        made = {each.storage for each in event.outputs} | event.writes
        made &= storages
        if not made:
            continue
        if not _moves(event):
            storages -= made
            if not storages:
                return
            continue
        chain.insert(0, place)
        storages |= {each.storage for each in event.inputs}
        found = _run(events, chain, value)
        if found is not None:
            yield found


def moved_on(
    events: Sequence[Event], at: int, value: Value
) -> Iterator[tuple[Moved, Value]]:
    """What is made of a value that one operation alone reads, and so on, nearest first.

    Args:
        events: In order.
        at: Place of the operation that made the value.
        value: It.
    """
    chain: list[int] = []
    while True:
        readers = [
            place for place in range(at + 1, len(events)) if value in events[place].inputs
        ]
        if len(readers) != 1 or not _moves(events[readers[0]]):
            return
        at = readers[0]
        chain.append(at)
        value = events[at].outputs[0]
        found = _run(events, chain, value)
        if found is None:
            return
        yield found, value


def _moves(event: Event) -> bool:
    """Whether an operation only moves entries, or puts constants beside them."""
    namespace, _, name = event.name.partition("::")
    return namespace == "aten" and name in MOVING


def _run(events: Sequence[Event], chain: Sequence[int], value: Value) -> Moved | None:
    """The value as a copy, by running a chain of operations; None of several sources."""
    made: set[int] = set()
    read: dict[int, Value] = {}
    for place in chain:
        for each in events[place].inputs:
            if each.number not in made:
                read[each.number] = each
        made |= {each.number for each in events[place].outputs}
    if len(read) != 1 or value.number not in made:
        return None
    (source,) = read.values()
    if max(_entries(source), _entries(value)) > MOST_ENTRIES:
        return None
    found = _replayed([events[place] for place in chain], source, value)
    if found is None:
        return None
    pads = any(events[place].name.partition("::")[2] in PADDING for place in chain)
    paths = frozenset(events[place].path for place in chain)
    return Moved(source, found, chain[0], chain[-1], pads, paths)


def _replayed(chain: Sequence[Event], source: Value, value: Value) -> Tensor | None:
    """The places of a value's entries; None where an operation refuses to run again."""
    count = _entries(source)
    places = torch.arange(1, count + 1, dtype=torch.float64, device="cpu")
    places = places.reshape(source.shape)
    known: dict[int, Tensor] = {source.number: places}
    try:
        for event in chain:
            outputs = called_on(event, known)
            for each, tensor in zip(event.outputs, outputs, strict=True):
                known[each.number] = tensor
    except (RuntimeError, TypeError, ValueError):
        return None
    found = known[value.number]
    return found.to(torch.int64) if tuple(found.shape) == value.shape else None


def called_on(event: Event, known: Mapping[int, Tensor]) -> list[Tensor]:
    """What an operation makes of images of places."""

    def given(x: Any) -> Any:
        return known[x.number] if isinstance(x, Value) else x

    args = tree_map(given, event.args)
    kwargs = {key: tree_map(given, x) for key, x in event.kwargs.items()}
    for key, own in (("dtype", torch.float64), ("device", "cpu"), ("pin_memory", False)):
        if key in kwargs:  # wherever the model is, places are counted here
            kwargs[key] = own
    name = event.name.partition("::")[2]
    if name == "constant_pad_nd":  # a constant is no part of what is linear
        args = args[:2]
    if name == "pad":
        args, kwargs = args[:3], {k: x for k, x in kwargs.items() if k != "value"}
    output = event.func(*args, **kwargs)
    if name.startswith(("empty", "new_empty")):
        output.zero_()
    return [output] if isinstance(output, Tensor) else list(output)


def _entries(value: Value) -> int:
    return torch.Size(value.shape).numel()
