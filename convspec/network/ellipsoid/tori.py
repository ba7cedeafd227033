"""The tori of a search: the network's own, and smaller ones on which steps are cheap."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from itertools import product

from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.proof import estimate
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.graph import Graph, Node
from convspec.network.kinds import Rows
from convspec.network.norms import Norms

__all__ = ["Tori"]

# steps that are wanted at least; and on the least torus of two pixels before one of one
WANTED_STEPS, FEW_STEPS = 60, 15
# of a torus of twice the size
FINER_STEPS = 6
# tori of one size, at whose frequencies and between them steps are made by turns
MOST_TURNS = 4


@dataclass
class Tori:
    """A network on tori of any size.

    Attributes:
        graph: With cuts.
        layout: Exact.
        norms: Of linear maps.
        scale: Unit of each channel of the input; empty for its own.
        forgets: Whether activations forget what tensors have in common.
        each: Seconds of a step with its gradient for each pixel of a torus.
    """

    graph: Graph
    layout: Layout
    norms: Norms
    scale: tuple[float, ...] = ()
    forgets: bool = False
    each: float = field(default=0.0, init=False)

    def exact(self) -> Propagation:
        """The network on its own torus."""
        return Propagation(
            self.graph, self.layout, self._fits(), self.scale, self.forgets
        )

    def on(
        self, base: tuple[int, ...], halves: tuple[int, ...] = ()
    ) -> Propagation | None:
        """The network on another torus, None on its own."""
        if base == self.layout.lattices[0].sizes:
            return None
        layout = Layout.torus(self.graph, base, halves)
        return Propagation(self.graph, layout, True, self.scale, self.forgets)

    def least(self, pixels: int = 2) -> tuple[int, ...]:
        """Sizes of a small torus; the exact ones of vectors.

        Args:
            pixels: Of the coarsest image, along each axis.
        """
        sizes = self.layout.lattices[0].sizes
        if not sizes or any(map(self._reads_pixels, self.graph.nodes)):
            return sizes
        steps = Layout.steps(self.graph)
        pairs = zip(sizes, steps, strict=True)
        return tuple(min(size, max(pixels * step, 4)) for size, step in pairs)

    def turns(self, coarse: Propagation) -> list[Propagation]:
        """A torus, and others with the frequencies halfway between those of it.

        Args:
            coarse: On the torus; the exact one, whose frequencies are all, stays alone.
        """
        base = coarse.layout.lattices[0].sizes
        others = list(product((0, 1), repeat=len(base)))[1:]
        others.sort(key=sum, reverse=True)
        between = [self.on(base, halves) for halves in others[: MOST_TURNS - 1]]
        return [coarse, *filter(None, between)]

    def largest(
        self, exact: Propagation, coarse: Propagation, seconds: float
    ) -> Propagation:
        """The network on the largest torus on which enough steps can be made.

        If there is none it is the smallest that strides allow.

        Args:
            exact: On its own torus.
            coarse: On the least one.
            seconds: For the search.
        """
        base, known = self.layout.lattices[0].sizes, coarse.layout.lattices[0].sizes
        if base == self.least(1):
            return exact
        each = self.each = self._seconds_of_step(coarse) / math.prod(known)
        steps = Layout.steps(self.graph)
        while base != known and each * math.prod(base) * WANTED_STEPS > seconds:
            base = tuple(
                max(small, step * (size // (2 * step)))
                for size, step, small in zip(base, steps, known, strict=True)
            )
        if base == known and each * math.prod(base) * FEW_STEPS > seconds:
            base = self.least(1)
        return coarse if base == known else self.on(base) or exact

    def finer(
        self, exact: Propagation, coarse: Propagation, seconds: float
    ) -> Propagation | None:
        """The network on a torus of twice the size, if it allows some steps.

        Args:
            exact: On its own torus, which is the largest.
            coarse: On the one of the search.
            seconds: For these steps.
        """
        base, most = coarse.layout.lattices[0].sizes, self.layout.lattices[0].sizes
        finer = tuple(min(2 * size, end) for size, end in zip(base, most, strict=True))
        if finer == base or self.each * math.prod(finer) * FINER_STEPS > seconds:
            return None
        return self.on(finer) or exact

    def _seconds_of_step(self, coarse: Propagation) -> float:
        """What a passage with its gradient takes, where the maps are known."""
        begun = time.perf_counter()
        value = estimate(coarse.run(Multipliers(self.norms)))
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - begun

    def _reads_pixels(self, node: Node) -> bool:
        """Whether a matrix reads each pixel of an image apart."""
        if not isinstance(node.kind, Rows):
            return False
        return not self.layout.lattices[node.inputs[0]].is_vector

    def _fits(self) -> bool:
        """Whether all maps at all frequencies may be kept."""
        total = 0
        for node in self.graph.nodes:
            if node.inputs:
                lattice = self.layout.lattices[node.inputs[0]]
                before = self.graph.nodes[node.inputs[0]].shape
                channels = math.prod(before[1:2]) * math.prod(node.shape[1:2])
                total += len(lattice.index) * channels * 16
        return total < 2**31
