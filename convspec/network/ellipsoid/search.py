"""The search for multipliers: a first valid choice, then descent on a coarse torus.

Whatever is found serves on the exact torus, since multipliers there are scaled above its
ellipsoids again; the descent only has to find good proportions between channels.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product

import torch

from convspec.network.ellipsoid.layout import NAME, Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.proof import Proven, estimate, prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.ellipsoid.setting import TooLong
from convspec.network.graph import Graph, Node
from convspec.network.kinds import Rows
from convspec.network.norms import Norms

__all__ = ["Search"]

RATE, FINER_RATE, LEAST_RATE = 0.1, 0.03, 1e-3
MOST_STEPS = 400
# the last proof is left so many times the first's seconds
SPARE = 1.6
# a first passage is given up if it takes so many times the seconds there are, and so many
# seconds; and what a proven one takes of a plain one
PATIENCE, LEAST_PATIENCE, PROOF = 3.0, 5.0, 1.2
# powers of variances that are tried as proportions, while a passage takes less than this
# share of the time
TILTS, TILTED = (0.5, 0.75, 0.25, 0.0), 0.02
# where a descent begins at most: from larger ones it ends in numbers that frequencies
# between those of its torus do not bear as well
SEARCHED_TILT = 0.25
# steps that are wanted at least; and on the least torus of two pixels before one of one
WANTED_STEPS, FEW_STEPS = 60, 15
# what is found on a torus may fit its frequencies alone: a share of the time goes to one
# of twice the size, if so many steps can be made there
FINER_SHARE, FINER_STEPS = 0.5, 6
# tori of one size, at whose frequencies and between them steps are made by turns
MOST_TURNS = 4


@dataclass
class Search:
    """Finds multipliers for a network.

    Attributes:
        graph: With cuts.
        layout: Exact.
        norms: Of linear maps.
        scale: Unit of each channel of the input; empty for its own.
        forgets: Whether activations forget what tensors have in common.
        log: Logarithms of the bounds of the search, in order.
        proof: Seconds of the first proof.
        passage: Seconds of the last passage before it.
        each: Seconds of a step with its gradient for each pixel of the torus.
        tilt: Of the best multipliers before the descent.
    """

    graph: Graph
    layout: Layout
    norms: Norms
    scale: tuple[float, ...] = ()
    forgets: bool = False
    log: list[float] = field(default_factory=list)
    proof: float = 0.0
    passage: float = 0.0
    each: float = 0.0
    tilt: float = 0.0

    def run(
        self, seconds: float, told: Callable[[float, Proven, Multipliers], None]
    ) -> None:
        """Search for so long, and tell of each proven bound as it is there.

        Args:
            seconds: About.
            told: Given the seconds so far, a bound and its multipliers.

        Raises:
            Infeasible: If there is no proof.
            TooLong: If already the first one takes far more seconds.
        """
        begun = time.perf_counter()
        exact = Propagation(
            self.graph, self.layout, self._fits(), self.scale, self.forgets
        )
        coarse = self._on(self._least()) or exact
        coarse.until = begun + max(LEAST_PATIENCE, PATIENCE * seconds)
        told(*self._first(exact, coarse, begun))
        coarse.until = math.inf
        until = begun + seconds - SPARE * self.proof
        if time.perf_counter() >= until:
            return
        coarse = self._largest(exact, coarse, until - time.perf_counter())
        left = until - time.perf_counter()
        finer = self._finer(exact, coarse, FINER_SHARE * left)
        share = 1 - FINER_SHARE if finer else 1
        better = self._descended(coarse, share * left)
        if better is not None and finer is not None:
            left = until - time.perf_counter()
            better = self._descended(finer, left, better)
        if better is not None:
            told(*self._last(exact, better, begun))

    def _least(self, pixels: int = 2) -> tuple[int, ...]:
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

    def _reads_pixels(self, node: Node) -> bool:
        """Whether a matrix reads each pixel of an image apart."""
        if not isinstance(node.kind, Rows):
            return False
        return not self.layout.lattices[node.inputs[0]].is_vector

    def _on(
        self, base: tuple[int, ...], halves: tuple[int, ...] = ()
    ) -> Propagation | None:
        """The network on another torus, None on its own."""
        if base == self.layout.lattices[0].sizes:
            return None
        layout = Layout.torus(self.graph, base, halves)
        return Propagation(self.graph, layout, True, self.scale, self.forgets)

    def _turns(self, coarse: Propagation) -> list[Propagation]:
        """A torus, and others with the frequencies halfway between those of it.

        Args:
            coarse: On the torus; the exact one, whose frequencies are all, stays alone.
        """
        base = coarse.layout.lattices[0].sizes
        others = list(product((0, 1), repeat=len(base)))[1:]
        others.sort(key=sum, reverse=True)
        between = [self._on(base, halves) for halves in others[: MOST_TURNS - 1]]
        return [coarse, *filter(None, between)]

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

    def _largest(
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
        if base == self._least(1):
            return exact
        each = self.each = self._seconds_of_step(coarse) / math.prod(known)
        steps = Layout.steps(self.graph)
        while base != known and each * math.prod(base) * WANTED_STEPS > seconds:
            base = tuple(
                max(small, step * (size // (2 * step)))
                for size, step, small in zip(base, steps, known, strict=True)
            )
        if base == known and each * math.prod(base) * FEW_STEPS > seconds:
            base = self._least(1)
        return coarse if base == known else self._on(base) or exact

    def _finer(
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
        return self._on(finer) or exact

    def _seconds_of_step(self, coarse: Propagation) -> float:
        """What a passage with its gradient takes, where the maps are known."""
        begun = time.perf_counter()
        value = estimate(coarse.run(Multipliers(self.norms)))
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - begun

    def _first(
        self, exact: Propagation, coarse: Propagation, begun: float
    ) -> tuple[float, Proven, Multipliers]:
        """A bound by first multipliers: twice as large as the ellipsoid asks."""
        multipliers = self._begun(coarse, begun)
        passed = time.perf_counter() - begun
        ahead = PROOF * coarse.seconds_on(exact, self.passage)
        if begun + passed + ahead > coarse.until:
            raise TooLong(
                f"a passage on its torus takes about {ahead:.0f} s; give that many "
                "seconds, or a smaller image",
                NAME,
            )
        now = time.perf_counter()
        found = prove(exact, multipliers)
        self.proof = time.perf_counter() - now
        return time.perf_counter() - begun, found, multipliers.as_fixed()

    def _begun(self, coarse: Propagation, begun: float) -> Multipliers:
        """Proportions by the best of some tilts, as far as there is time.

        Args:
            coarse: On the least torus.
            begun: When the search was.

        Raises:
            Infeasible: If none of them serves.
        """
        best, found = math.inf, None
        for tilt in TILTS:
            now = time.perf_counter()
            multipliers = Multipliers(self.norms, tilt=tilt)
            with torch.no_grad(), suppress(Infeasible):
                reached = float(estimate(coarse.run(multipliers)))
                if found is None or reached < best:
                    best, found, self.tilt = reached, multipliers, tilt
            self.passage = time.perf_counter() - now
            if self.passage > TILTED * (coarse.until - begun):
                break
        if found is None:
            raise Infeasible
        found.start_again()
        return found

    def _last(
        self, exact: Propagation, better: Multipliers, begun: float
    ) -> tuple[float, Proven, Multipliers]:
        """A bound by the proportions and margins found, scaled on the exact torus."""
        better.start_again()
        found = prove(exact, better)
        return time.perf_counter() - begun, found, better.as_fixed()

    def _descended(
        self, coarse: Propagation, seconds: float, before: Multipliers | None = None
    ) -> Multipliers | None:
        """Multipliers by Adam, the best of all steps; None if there was none.

        Steps are made on a torus and between its frequencies by turns, and judged by the
        worst of all turns, so that what fits some frequencies alone is not kept.

        Args:
            coarse: Where.
            seconds: How long.
            before: What was found on a smaller torus.
        """
        begun = time.perf_counter()
        turns, recent = self._turns(coarse), deque[float]()
        if before is None:
            multipliers = Multipliers(self.norms, tilt=min(self.tilt, SEARCHED_TILT))
        else:
            multipliers = before.copied()
        with torch.no_grad():
            best = float(estimate(coarse.run(multipliers)))
        kept = before
        if not multipliers.searched:
            return None
        rate = RATE if before is None else FINER_RATE
        optimiser = torch.optim.Adam(multipliers.searched, lr=rate)
        for step in range(MOST_STEPS):
            passed = (time.perf_counter() - begun) / seconds
            if passed >= 1:
                break
            share = max(passed, step / MOST_STEPS)
            for group in optimiser.param_groups:
                group["lr"] = rate * (1 - share) + LEAST_RATE
            optimiser.zero_grad()
            try:
                value = estimate(turns[step % len(turns)].run(multipliers))
            except Infeasible:
                value = torch.tensor(math.nan, dtype=torch.float64, device="cpu")
            reached = float(value.detach())
            if not math.isfinite(reached) or reached > best + 3:
                rate /= 2
                if kept is not None:
                    multipliers.take(kept)
                optimiser = torch.optim.Adam(multipliers.searched, lr=rate)
                recent.clear()
                continue
            self.log.append(reached)
            recent.append(reached)
            if len(recent) > len(turns):
                recent.popleft()
            worst = max(recent)
            if kept is None or (len(recent) == len(turns) and worst < best):
                best = min(best, worst)
                kept = multipliers.copied()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return kept
