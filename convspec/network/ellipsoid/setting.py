"""A network with all that its passages share: lattices, maps, units, and their price."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cached_property

from convspec.errors import NotApplicable
from convspec.network.ellipsoid.layout import NAME, Layout
from convspec.network.ellipsoid.maps import Map, linear_maps
from convspec.network.graph import Graph
from convspec.network.kinds import Filter

__all__ = ["Setting", "TooLong"]

# multiplications of complex numbers in a second, more than two cores make
FASTEST = 2e10
TOO_LONG = (
    "a passage through the network takes longer than there is time; give more seconds "
    "or a smaller image"
)


class TooLong(NotApplicable):
    """A passage that takes longer than there is time."""


@dataclass
class Setting:
    """A network on lattices.

    Attributes:
        graph: As :func:`convspec.network.ellipsoid.prepared.prepared` makes it.
        layout: Where each tensor lives.
        remembers: Whether the maps at the frequencies are kept for the next time.
        scale: Unit of each channel of the input; empty for its own.
        forgets: Whether activations forget what tensors have in common. What is left is
            a product of norms in units of channels that may be chosen.
        until: When ``time.perf_counter`` says so, or would behind a step, a passage is
            given up.
        work: Multiplications at each frequency of what the last passage factorised, by
            the tensor in question.
    """

    graph: Graph
    layout: Layout
    remembers: bool = True
    scale: tuple[float, ...] = ()
    forgets: bool = False
    until: float = math.inf
    work: dict[int, float] = field(default_factory=dict)
    _maps: dict[int, list[Map]] = field(default_factory=dict)

    @cached_property
    def readers(self) -> list[list[int]]:
        """The places of the nodes that read each."""
        return self.graph.readers()

    def maps(self, place: int) -> list[Map] | None:
        """The linear maps of a node at its input's frequencies."""
        known = self._maps.get(place)
        if known is None:
            node = self.graph.nodes[place]
            raises = isinstance(node.kind, Filter) and node.kind.op.transposed
            lattice = self.layout.lattices[place if raises else node.inputs[0]]
            known = linear_maps(self.graph, place, lattice)
            if known is not None and self.remembers:
                self._maps[place] = known
        return known

    def begin(self, place: int, work: float) -> None:
        """Note what a step factorises, unless there is no time for it.

        Args:
            place: Of the tensor.
            work: Multiplications at each frequency.

        Raises:
            TooLong: If there is none.
        """
        self.work[place] = self.work.get(place, 0.0) + work
        ahead = work * self._frequencies(place) / FASTEST
        if time.perf_counter() + ahead > self.until:
            raise TooLong(TOO_LONG, NAME)

    def seconds_on(self, other: Setting, seconds: float) -> float:
        """About what a passage takes elsewhere, by the work of the last one here.

        Args:
            other: The same network on other lattices.
            seconds: What the last one took.
        """
        works = [
            sum(work * each._frequencies(place) for place, work in self.work.items())
            for each in (self, other)
        ]
        return seconds * works[1] / works[0] if works[0] else seconds

    def _frequencies(self, place: int) -> int:
        return len(self.layout.lattices[place].index)
