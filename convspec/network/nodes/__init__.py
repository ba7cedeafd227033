"""How each of torch's operations is read as a map: one table, a file for each sort."""

from __future__ import annotations

from convspec.network.kinds import Kind, Refused
from convspec.network.nodes import bounded, entrywise, linear, moving, sampling
from convspec.network.nodes.given import Given

__all__ = ["is_read", "read"]

READERS = {
    **moving.READERS,
    **linear.READERS,
    **sampling.READERS,
    **entrywise.READERS,
    **bounded.READERS,
}


def is_read(name: str) -> bool:
    """Whether an operation of this name is told anything of."""
    return name in READERS


def read(given: Given) -> dict[int, Kind]:
    """What an operation does, by the numbers of those of its outputs that it is told of.

    Args:
        given: The operation, with data among its inputs.
    """
    reader = READERS.get(given.name)
    if reader is None:
        return {}
    kind = reader(given)
    if isinstance(kind, str):
        kind = Refused(given.no_bound(kind))
    kinds = kind if isinstance(kind, list) else [kind]  # others are not told
    return {
        each.number: one for each, one in zip(given.event.outputs, kinds, strict=False)
    }
