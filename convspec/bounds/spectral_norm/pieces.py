"""Reflect and replicate padding in pieces that hold one border or none.

Let ``c(p)`` be a unit vector for each pixel p of an axis, and ``chi_k`` its entries, so
that ``sum_k chi_k(p)^2 = 1``. For every image x

    ||A x||^2 - sum_k ||A chi_k x||^2 = sum_{t,u} sum_o w (M_t x_p)_o^H (M_u x_q)_o,

``w = 1 - <c(p), c(q)>`` with p and q the pixels that taps t and u of output o read on
that axis, and ``M_t`` the convolution of tap t along the others. Each sum is at most
``max_o w sqrt(r_t r_u) ||M_t|| ||M_u|| ||x||^2``, r_t the most outputs of which tap t
reads one pixel, so that

    ||A||^2 <= max_k ||A restricted to the support of chi_k||^2 + error

with the error of the order of the squared angle between neighbouring vectors (this is the
localisation formula of Ismagilov, Morgan and Simon; see Cycon et al., Schroedinger
Operators, theorem 3.2). Three pieces are cut here: the first pixels, the last ones, and
those that padding shows once. The last piece is a compression of a torus; the other two
are short and stay as they are, or, if the second axis is cut too, become corners.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from convspec.arrays import FloatArray
from convspec.bounds.spectral_norm.lower import Leading
from convspec.bounds.spectral_norm.parts import Exact, Parts, Wrap
from convspec.bounds.spectral_norm.search import Search
from convspec.operators.axis import most_common
from convspec.operators.reads import Reads
from convspec.rounding import up
from convspec.tori.relations import compression

__all__ = ["bound_in_pieces"]

# part of what is left that the factorisation of one corner may cost
CORNER_SHARE = 1 / 16
PRODUCT_SHARE = 1 / 100


@dataclass(frozen=True)
class Piece:
    """An axis, or the part of it on some of its pixels.

    Attributes:
        read: What it reads, by the outputs that read anything.
        final: Whether it is not to be cut again.
    """

    read: Reads
    final: bool

    @property
    def whole(self) -> bool:
        """Whether padding shows pixels more than once and it can still be cut."""
        return not (self.final or self.read.isometric)

    def exact(self) -> Exact:
        """The axis, or the part of it, left as it is."""
        return Exact(self.read.source, len(self.read.pixels))

    def on(self, chosen: npt.NDArray[np.bool_]) -> Piece | None:
        """On some of the pixels, or None if nothing reads them."""
        return Piece(self.read.on(chosen), True) if chosen.any() else None


def bound_in_pieces(search: Search, found: Leading, words: str) -> None:
    """Bound every open group by pieces of its axes, as far as the budget allows."""
    pieces = [Piece(read.live, False) for read in search.reduced.kept]
    if sum(piece.whole for piece in pieces) < 1:
        return
    for group in search.open:
        square = _square(search, group, found, pieces)
        if square < math.inf:
            search.include(group, up(math.sqrt(square)), words)


def _square(search: Search, group: int, found: Leading, pieces: list[Piece]) -> float:
    """At least the squared norm of a group; inf where it costs too much."""
    whole = [j for j, piece in enumerate(pieces) if piece.whole]
    if not whole:
        return _tested(search, group, found, pieces)
    j = whole[0]
    if sum(not piece.read.isometric for piece in pieces) == 1:
        square = _tested(search, group, found, pieces)
        if square < math.inf:
            return square
    width = _width(search, pieces, j)
    cut = _cut(pieces[j], width)
    if cut is None:
        return _tested(search, group, found, pieces)
    parts, weights = cut
    error = _error(search, group, pieces, j, weights)
    squares = [0.0]
    for part in parts:
        squares.append(
            _square(search, group, found, [*pieces[:j], part, *pieces[j + 1 :]])
        )
        if squares[-1] == math.inf:
            return math.inf
    return up(max(squares) + error)


def _tested(search: Search, group: int, found: Leading, pieces: list[Piece]) -> float:
    """The squared norm by one test: what shows pixels twice exact, the rest wrapped."""
    relations = [compression(piece.read) for piece in pieces]
    wraps = search.wraps(found, relations)
    axes = [
        wrap if piece.read.isometric else piece.exact()
        for piece, wrap in zip(pieces, wraps, strict=True)
    ]
    parts = search.parts(axes)
    if not search.affords(parts):
        return math.inf
    search.budget.spend(parts.flops())
    caps = torch.full((len(parts.index),), math.inf, dtype=torch.float64)
    norm = up(float(parts.norms(group, search.target, caps).max()) * parts.factor)
    return up(norm * norm)


def _cut(
    piece: Piece, width: int
) -> tuple[list[Piece], list[tuple[int, int, float]]] | None:
    """The pieces of an axis, and ``max_o w`` for each pair of taps; None if too short."""
    read = piece.read
    pixels = len(read.pixels)
    shown, counts = np.unique(read.used[1], return_counts=True)
    often = np.flatnonzero(counts > 1)
    half = pixels // 2
    first = int((often[often < half]).max(initial=-1))
    last = int((often[often >= half]).min(initial=pixels))
    ramp = min(width, half) - first
    if len(shown) != pixels or ramp < 2 or last - half < 2:
        return None
    back = min(width, pixels - half) - (pixels - last)
    if back < 2:
        return None
    place = np.arange(pixels)
    rise = np.clip((place - first) / ramp, 0, 1)
    fall = np.clip((last - place) / back, 0, 1)
    angle = math.pi / 2 * np.minimum(rise, fall)
    start = place < half
    vectors = np.stack([np.cos(angle) * start, np.sin(angle), np.cos(angle) * ~start])
    supports = [
        start & (rise < 1),
        (rise > 0) & (fall > 0),
        ~start & (fall < 1),
    ]
    parts = [piece.on(support) for support in supports]
    weights = _weights(read, vectors)
    return [part for part in parts if part is not None], weights


def _weights(read: Reads, vectors: FloatArray) -> list[tuple[int, int, float]]:
    """The largest ``1 - <c(p), c(q)>`` of each pair of taps, rounded up."""
    place, live = read.source, read.source >= 0
    found = []
    for t in range(len(place)):
        for u in range(len(place)):
            both = live[t] & live[u]
            if t == u or not both.any():
                continue
            inner = (vectors[:, place[t][both]] * vectors[:, place[u][both]]).sum(axis=0)
            found.append((t, u, max(0.0, float((1 - inner).max())) + 2.0**-48))
    return found


def _error(
    search: Search,
    group: int,
    pieces: Sequence[Piece],
    j: int,
    weights: Sequence[tuple[int, int, float]],
) -> float:
    """What cutting axis j may add to the squared norm."""
    source = pieces[j].read.source
    lengths = [
        up(norm * math.sqrt(most_common(reads[reads >= 0])) * (1 + 2.0**-48))
        for norm, reads in zip(_tap_norms(search, group, pieces, j), source, strict=True)
    ]
    total = math.fsum(w * lengths[t] * lengths[u] for t, u, w in weights)
    return up(total * (1 + 2.0**-48))


def _tap_norms(
    search: Search, group: int, pieces: Sequence[Piece], j: int
) -> Iterator[float]:
    """At least the norms of the taps of axis j, convolutions along the other axes."""
    reduced = search.reduced
    others = [piece for i, piece in enumerate(pieces) if i != j]
    for tap in range(len(pieces[j].read.source)):
        weight = reduced.weight.select(2 + j, tap)
        axes: list[Wrap | Exact] = [piece.exact() for piece in others]
        parts = Parts.of(weight, reduced.groups, axes, search.budget.bytes)
        if not search.affords(parts, PRODUCT_SHARE):
            axes = [_wrapped(piece) for piece in others]
            parts = Parts.of(weight, reduced.groups, axes, search.budget.bytes)
        caps = torch.full((len(parts.index),), math.inf, dtype=torch.float64)
        search.budget.spend(parts.flops())
        yield up(float(parts.norms(group, 0.0, caps).max()) * parts.factor)


def _wrapped(piece: Piece) -> Wrap:
    return Wrap(compression(piece.read), Fraction(0))


def _width(search: Search, pieces: Sequence[Piece], j: int) -> int:
    """How many pixels of axis j its ends may have; corners with other ends cost most."""
    others = [p for i, p in enumerate(pieces) if i != j and not p.read.isometric]
    ends = [len(piece.read.pixels) for piece in others if piece.final]
    channels = float(min(search.reduced.block_channels))
    reach = max(len(read.taps) for read in search.reduced.kept)
    best = 2
    for width in range(2, len(pieces[j].read.pixels) // 2 + 1):
        sides = [width, *ends] + [width] * (len(others) - len(ends))
        across = math.prod(sides) / max(sides) if len(sides) > 1 else 1
        band = channels * reach * (across + 1)
        side = channels * math.prod(sides)
        cheap = side * band**2 <= search.budget.part(CORNER_SHARE)
        if cheap and 32 * side * band <= search.budget.bytes:
            best = width
    return best
