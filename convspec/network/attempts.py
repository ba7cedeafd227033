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
from convspec.network.fuse import fused
from convspec.network.graph import Graph
from convspec.network.norms import Norms
from convspec.network.reading import Network
from convspec.network.result import NetworkBound, Step
from convspec.network.scalar import constants, joined
from convspec.rounding.directed import up

__all__ = ["LOWER_SHARE", "Attempts"]

# entries of all tensors up to which plain vectors are tried
DENSE_ENTRIES = 3000
# of the seconds, for the pair of inputs
LOWER_SHARE = 0.2
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
    """

    network: Network
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    seconds: float
    progress: Callable[[str, float], None] | None = None
    stopped: bool = False
    norms: Norms = field(default_factory=Norms)
    _found: list[_Found] = field(default_factory=list)

    @property
    def graph(self) -> Graph:
        """Maps that have constants."""
        return self.network.graph

    def run(self, method: str) -> None:
        """Try what the method asks for, until it is done or stopped."""
        with self.interruptible("product"):
            self._scalar("product", self.graph, "norms of all layers")
        if self.stopped:
            return
        with self.interruptible("fused"):
            self._scalar("fused", fused(self.graph), "linear layers in a row are one")
        if method == "scalar" or self.stopped:
            return
        left = (1 - LOWER_SHARE) * self.seconds
        for name, share in self._plan(method):
            if not self.stopped:
                with self.interruptible(name):
                    self._ellipsoid(name, share * left)

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

    def _scalar(self, name: str, graph: Graph, words: str) -> None:
        """The product of norms."""
        begun = time.perf_counter()
        unit = up(1 / min(self.scale)) if self.scale else 1.0
        found = constants(graph, self.norms)
        upper = up(joined([found[place] for place in graph.outputs]) * unit)
        self._add(_Found(Step(name, upper, time.perf_counter() - begun, words)))

    def _plan(self, method: str) -> list[tuple[str, float]]:
        """Ellipsoids to try, and the share of the time for each."""
        image = len(self.shape) > 1
        short = sum(math.prod(node.shape) for node in self.graph.nodes) <= DENSE_ENTRIES
        dense = method == "dense" or (method == "auto" and (short or not image))
        torus = method in ("auto", "ellipsoid") and image
        share = 1 / (torus + dense) if torus + dense else 0.0
        names = ["ellipsoid"] * torus + ["dense ellipsoid"] * dense
        return [(name, share) for name in names]

    def _ellipsoid(self, name: str, seconds: float) -> None:
        """On a torus, or on plain vectors."""
        begun = time.perf_counter()
        try:
            torus = name == "ellipsoid"
            graph = prepared(self.graph, torus)
            layout = Layout.torus(graph) if torus else Layout.dense(graph)
            search = Search(graph, layout, self.norms, scale=self.scale)
            told = _Told(self, name, layout, self.network.digest)
            search.run(seconds, told)
        except FAILURES as error:
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
    digest: str
    count: int = 0

    def __call__(self, passed: float, proven: Proven, fixed: Multipliers) -> None:
        first = not self.count
        self.count += 1
        base = self.layout.lattices[0].sizes
        where = "x".join(map(str, base)) if base else "vectors"
        words = f"{'first multipliers' if first else 'multipliers searched'}, {where}"
        step = Step(
            f"first {self.name}" * first or self.name, proven.upper, passed, words
        )
        certificate = Certificate(
            up(proven.upper * (1 + ROOM)),
            self.digest,
            self.attempts.shape,
            base,
            self.attempts.scale,
            dict(fixed.found),
            dict(fixed.taken),
            self.attempts.network.domain,
        )
        self.attempts._add(_Found(step, certificate, proven.pairs))
