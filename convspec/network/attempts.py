"""Bounds of a network, one after the other, as they are found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convspec.errors import ConvSpecError
from convspec.network.certificate import Certificate
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import Proven
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.ellipsoid.search import Search
from convspec.network.ellipsoid.setting import TooLong
from convspec.network.ellipsoid.tori import Tori
from convspec.network.fuse import fused
from convspec.network.graph import Graph
from convspec.network.lip_lt import lip_lt
from convspec.network.norms import Norms
from convspec.network.reading import Network
from convspec.network.result import NetworkBound, Step
from convspec.network.scalar import constants, joined
from convspec.rounding.directed import up

__all__ = ["LOWER_SHARE", "Attempts"]

# entries of all tensors up to which plain vectors are tried
DENSE_ENTRIES = 3000
# of the seconds, for the pair of inputs, and for rescaled norms
LOWER_SHARE, RESCALED_SHARE = 0.2, 0.05
# likewise, for the norms of layers of each graph, by whether nothing comes behind them
NORM_SHARES = {False: 0.2, True: 0.4}
RESCALED = "rescaled"
# room for the rounding of another machine in what a certificate claims
ROOM = 1e-5
# of one way to bound a network, which others do without; numbers of extreme networks
# overflow, and LAPACK does not converge on them
FAILURES = (
    ConvSpecError,
    Infeasible,
    MemoryError,
    OverflowError,
    ZeroDivisionError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)
INTERRUPTED = "interrupted: what was found before holds"


@dataclass(frozen=True)
class _Found:
    """A step with what proves it, kept at once or not at all."""

    step: Step
    certificate: Certificate | None = None
    pairs: Tensor | None = None


@dataclass
class Attempts:
    """All ways to bound one network from above.

    Attributes:
        network: It.
        shape: Of its input, without the batch.
        scale: Unit of each channel of the input; empty for its own.
        seconds: About how long to try.
        progress: Told of each bound as it is found.
        stopped: Whether the user has stopped the search.
        constants: Of each node, by the product of norms.
    """

    network: Network
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    seconds: float
    progress: Callable[[str, float], None] | None = None
    stopped: bool = False
    norms: Norms = field(default_factory=Norms)
    constants: list[float] = field(default_factory=list)
    _found: list[_Found] = field(default_factory=list)
    _too_long: bool = False

    @property
    def graph(self) -> Graph:
        """Maps that have constants."""
        return self.network.graph

    def run(self, method: str) -> None:
        """Try what the method asks for, until it is done or stopped."""
        share = NORM_SHARES[method == "scalar"] * self.seconds
        with self.interruptible("product"):
            self._scalar("product", self.graph, "norms of all layers", share)
        if self.stopped:
            return
        with self.interruptible("fused"):
            words = "linear layers in a row are one"
            self._scalar("fused", fused(self.graph), words, share)
        if not self.stopped and self._is_small:
            with self.interruptible("LipLT"):
                self._looped()
        if method == "scalar" or self.stopped:
            return
        left = (1 - LOWER_SHARE - RESCALED_SHARE) * self.seconds
        plan = self._plan(method)
        for name in plan:
            if not self.stopped:
                with self.interruptible(name):
                    self._ellipsoid(name, left / len(plan))
        quick = self._is_quick()
        share = RESCALED_SHARE * self.seconds if quick else left
        if plan and not self.stopped and (quick or self._too_long):
            with self.interruptible(RESCALED):
                self._ellipsoid(RESCALED, share, plan[0])

    def outcome(self) -> NetworkBound:
        """The least of all; of pairs of outputs, the least of each."""
        best = min(self._found, key=lambda each: each.step.upper)
        matrices = [each.pairs for each in self._found if each.pairs is not None]
        pairs = None
        if matrices:
            # e_i - e_j is sqrt(2) long
            most = up(math.sqrt(2.0) * best.step.upper, 2)
            pairs = torch.stack(matrices).amin(0).clamp(max=most)
        return NetworkBound(
            0.0,
            best.step.upper,
            tuple(each.step for each in self._found),
            warnings=self.graph.warnings,
            scale=self.scale,
            certificate=best.certificate,
            domain=self.network.domain,
            _pairs=pairs,
        )

    @contextmanager
    def interruptible(self, name: str) -> Iterator[None]:
        """Keep what was found if the user stops what comes, once there is anything.

        Args:
            name: Of the step that says so.
        """
        begun = time.perf_counter()
        try:
            yield
        except KeyboardInterrupt:
            if not self._found:
                raise
            self.stopped = True
            passed = time.perf_counter() - begun
            self._found.append(_Found(Step(name, math.inf, passed, INTERRUPTED)))

    def _add(self, found: _Found) -> None:
        least = min((each.step.upper for each in self._found), default=math.inf)
        self._found.append(found)
        if self.progress is not None:
            self.progress(found.step.name, min(found.step.upper, least))

    def _scalar(self, name: str, graph: Graph, words: str, seconds: float) -> None:
        """The product of norms."""
        begun = time.perf_counter()
        self.norms.until = begun + seconds
        unit = up(1 / min(self.scale)) if self.scale else 1.0
        found = constants(graph, self.norms)
        if graph is self.graph:
            self.constants = found
        upper = up(joined([found[place] for place in graph.outputs]) * unit)
        self._add(_Found(Step(name, upper, time.perf_counter() - begun, words)))

    def _looped(self) -> None:
        """Activations by their mean slopes, what they add to that by its norm."""
        begun = time.perf_counter()
        unit = up(1 / min(self.scale)) if self.scale else 1.0
        known = [up(each * unit) for each in self.constants]
        words = "activations as half of themselves and a remainder"
        try:
            upper = lip_lt(self.graph, known, self.scale)
        except FAILURES as error:
            upper, words = math.inf, f"does not apply: {error}"
        self._add(_Found(Step("LipLT", upper, time.perf_counter() - begun, words)))

    @property
    def _is_small(self) -> bool:
        """Whether dense matrices of all its maps fit."""
        return sum(math.prod(node.shape) for node in self.graph.nodes) <= DENSE_ENTRIES

    def _is_quick(self) -> bool:
        """Whether first multipliers took a small share of the time.

        What forgets what tensors have in common gives less than what does not: it is
        tried to show by how much, where that costs little, and where the other would take
        too long.
        """
        took = [each.step.seconds for each in self._found if each.certificate is not None]
        return bool(took) and took[0] < RESCALED_SHARE * self.seconds / 2

    def _plan(self, method: str) -> list[str]:
        """Ellipsoids to try."""
        image = len(self.shape) > 1
        small = self._is_small or not image
        dense = method == "dense" or (method == "auto" and small)
        torus = method in ("auto", "ellipsoid") and image
        return ["ellipsoid"] * torus + ["dense ellipsoid"] * dense

    def _ellipsoid(self, name: str, seconds: float, where: str = "") -> None:
        """On a torus, or on plain vectors.

        Args:
            name: Of the step.
            seconds: About.
            where: Of the step whose place it shares, if that is another.
        """
        begun = time.perf_counter()
        try:
            torus = (where or name) == "ellipsoid"
            forgets = name == RESCALED
            graph = prepared(self.graph, torus)
            layout = Layout.torus(graph) if torus else Layout.dense(graph)
            search = Search(Tori(graph, layout, self.norms, self.scale, forgets))
            told = _Told(self, name, layout, forgets)
            search.run(seconds, told)
            if told.last is not None:
                self._add(told.last)
        except FAILURES as error:
            self._too_long |= isinstance(error, TooLong)
            passed = time.perf_counter() - begun
            why = str(error) or "its multipliers do not serve"
            words = f"does not apply: {why}"
            self._add(_Found(Step(name, math.inf, passed, words)))


@dataclass
class _Told:
    """Takes the bounds of one search."""

    attempts: Attempts
    name: str
    layout: Layout
    forgets: bool = False
    count: int = 0
    last: _Found | None = None

    def __call__(self, passed: float, proven: Proven, fixed: Multipliers) -> None:
        first = not self.count
        self.count += 1
        base = self.layout.lattices[0].sizes
        where = "x".join(map(str, base)) if base else "vectors"
        words = f"{'first multipliers' if first else 'multipliers searched'}, {where}"
        named = f"first {self.name}" if first and not self.forgets else self.name
        step = Step(named, proven.upper, passed, words)
        certificate = Certificate(
            up(proven.upper * (1 + ROOM)),
            self.attempts.network.digest,
            self.attempts.shape,
            base,
            self.attempts.scale,
            dict(fixed.found),
            dict(fixed.taken),
            self.attempts.network.domain,
            self.forgets,
        )
        found = _Found(step, certificate, proven.pairs)
        if self.forgets:  # one step of both
            self.last = found
        else:
            self.attempts._add(found)
