"""The band of the Gram matrix of a convolution: its width and cost, by arithmetic.

Pixel by pixel, all channels of one together, ``A^H A`` couples two pixels that some
output reads; output by output, ``A A^H`` couples two outputs that read some pixel. Taps
and places of different axes are independent of each other, so two places share something
where they do along every axis. With places flattened in row-major order, those that share
something are at most

    sum_j span_j prod_{i > j} n_i

apart, ``span_j`` what they are along axis j: the largest minus the smallest pixel that
one output reads there, or output that reads one pixel. That is attained. All of it reads
the tables ``source[t, o]`` once; nothing of the size of the band is built.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from torch import Tensor

from convspec.arrays import IntArray

__all__ = ["AxisBand", "BandLayout"]

# what adding one entry into the band costs, in floating-point operations
SCATTER_FLOPS = 50.0
# tables of an axis up to this size are kept from one matrix to the next
KEPT_BYTES = 2**24


@dataclass(frozen=True)
class AxisBand:
    """What two places along one axis share: outputs that read both, or pixels.

    Attributes:
        source: ``source[t, o]``: the pixel that tap t of output o reads, or -1.
        size: Number of pixels.
        pixels: Whether the places are pixels, else outputs.
    """

    source: IntArray
    size: int
    pixels: bool

    @property
    def taps(self) -> int:
        """Number of taps k."""
        return len(self.source)

    @property
    def places(self) -> int:
        """Number of places n."""
        return self.size if self.pixels else int(self.source.shape[1])

    @cached_property
    def _reads(self) -> tuple[IntArray, IntArray, IntArray]:
        """Every read of the axis as (tap, what is shared, place)."""
        tap, output = np.nonzero(self.source >= 0)
        pixel = self.source[tap, output]
        return (tap, output, pixel) if self.pixels else (tap, pixel, output)

    @cached_property
    def span(self) -> int:
        """How far apart two places are at most that share something."""
        _, shared, place = self._reads
        if not len(place):
            return 0
        count = int(shared.max()) + 1
        first, last = np.full(count, self.places), np.full(count, -1)
        np.minimum.at(first, shared, place)
        np.maximum.at(last, shared, place)
        return int((last - first).max(initial=0))

    @property
    def pairs(self) -> int:
        """At least the number of pairs of places that share something."""
        return self.places * min(2 * self.span + 1, self.places)

    @cached_property
    def sums(self) -> int:
        """At least the number of pairs of taps whose products fall on one pair of places.

        The first tap and its place fix what is shared; the second reads it, or is read,
        at the second place.
        """
        tap, shared, place = self._reads
        if not len(tap):
            return 1
        often = np.bincount(place).max()
        both = np.bincount(shared * self.places + place).max()
        return int(min(often * both, self.taps**2))

    @cached_property
    def most_reads(self) -> IntArray:
        """For each tap the most outputs of which it reads one pixel; (k,)."""
        counts = [np.bincount(s[s >= 0], minlength=1).max() for s in self.source]
        return np.array(counts, dtype=np.int64)

    @property
    def bytes(self) -> int:
        """What :attr:`sums_of_products` takes, at most."""
        products = self.taps**2 * self.places
        return 24 * products + 24 * self.pairs

    def rows(self) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray]]:
        """For each tap t, ascending: ``(u, p, q, counts)``, by u.

        Tap t of p and tap u of q share something so many times.
        """
        if self._kept is not None:
            return iter(self._kept)
        return self._rows()

    @cached_property
    def _kept(
        self,
    ) -> tuple[tuple[IntArray, IntArray, IntArray, IntArray], ...] | None:
        small = 32 * self.taps**2 * self.places <= KEPT_BYTES
        return tuple(self._rows()) if small else None

    def _rows(self) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray]]:
        tap, shared, place = self._reads
        count, length = self.places, int(shared.max(initial=0)) + 1
        ones = np.ones(len(tap), dtype=np.int64)
        every = sparse.csr_array(
            (ones, (shared, tap * count + place)), shape=(length, self.taps * count)
        )
        for t in range(self.taps):
            mine = tap == t
            reads = sparse.csr_array(
                (ones[mine], (place[mine], shared[mine])), shape=(count, length)
            )
            found = (reads @ every).tocoo()
            p, second = (np.asarray(x, dtype=np.int64) for x in found.coords)
            order = np.argsort(second, kind="stable")
            p, second = p[order], second[order]
            yield (
                second // count,
                p,
                second % count,
                np.asarray(found.data, dtype=np.int64)[order],
            )

    @cached_property
    def sums_of_products(self) -> tuple[IntArray, IntArray, sparse.csr_array]:
        """The pairs of places (p, q), and the 0/1 sums over taps that fall on them.

        ``sums[j, k t + u]`` says how often tap t of p_j and tap u of q_j share something.
        """
        keys, columns, counts = [], [], []
        for t, (u, p, q, times) in enumerate(self.rows()):
            keys.append(p * self.places + q)
            columns.append(t * self.taps + u)
            counts.append(times)
        pairs, row = np.unique(np.concatenate(keys), return_inverse=True)
        sums = sparse.csr_array(
            (
                np.concatenate(counts).astype(np.float64),
                (row.reshape(-1), np.concatenate(columns)),
            ),
            shape=(len(pairs), self.taps**2),
        )
        return pairs // self.places, pairs % self.places, sums


@dataclass(frozen=True)
class BandLayout:
    """Where the products of taps go in the band of the Gram matrix on the smaller side.

    Attributes:
        order: The axes, the longest first; taps are flattened in that order.
        axes: They in that order.
        pixels: Whether the side is that of the pixels, else of the outputs.
        channels: Channels of each place.
        inner: Channels that a product of two taps sums over.
    """

    order: tuple[int, ...]
    axes: tuple[AxisBand, ...]
    pixels: bool
    channels: int
    inner: int

    @classmethod
    def of(
        cls, sources: Sequence[IntArray], sizes: Sequence[int], rows: int, columns: int
    ) -> BandLayout:
        """The layout of axes ``source[t, o]``, with (rows, columns) channels."""
        order = tuple(sorted(range(len(sizes)), key=lambda j: -sizes[j]))
        outputs = math.prod(source.shape[1] for source in sources)
        pixels = columns * math.prod(sizes) <= rows * outputs
        axes = tuple(AxisBand(sources[j], sizes[j], pixels) for j in order)
        channels, inner = (columns, rows) if pixels else (rows, columns)
        return cls(order, axes, pixels, channels, inner)

    @property
    def places(self) -> int:
        """The number of pixels, or of outputs, that the Gram matrix is over."""
        return math.prod(axis.places for axis in self.axes)

    @property
    def side(self) -> int:
        """Rows of the Gram matrix."""
        return self.places * self.channels

    @cached_property
    def width(self) -> int:
        """Half width b of the band."""
        apart = 0
        for axis in self.axes:
            apart = apart * axis.places + axis.span
        return min(self.channels * (apart + 1), self.side) - 1

    @property
    def taps(self) -> int:
        """Number of taps."""
        return math.prod(axis.taps for axis in self.axes)

    @property
    def sums(self) -> int:
        """At least the number of products of taps that are added into one entry."""
        return math.prod(axis.sums for axis in self.axes)

    @cached_property
    def reads(self) -> IntArray:
        """For each tap the most outputs of which it reads one pixel; (taps,)."""
        found = np.ones(1, dtype=np.int64)
        for axis in self.axes:
            found = np.multiply.outer(found, axis.most_reads).reshape(-1)
        return found

    def flops(self, is_complex: bool) -> float:
        """Estimated operations of one factorisation, and of filling the band."""
        squares = [axis.taps**2 for axis in self.axes]
        products = 2.0 * math.prod(squares) * self.channels**2 * self.inner
        added = 0.0
        for j, axis in enumerate(self.axes):
            behind = math.prod(other.pairs for other in self.axes[j + 1 :])
            ahead = math.prod(squares[: j + 1])
            added += float(ahead) * axis.places * behind * self.channels**2
        factor = self.side * (self.width + 1.0) ** 2
        return (4 if is_complex else 1) * (factor + products) + SCATTER_FLOPS * added

    def bytes(self, is_complex: bool) -> int:
        """Bytes of the band and its factor, or of the band while it is filled."""
        entry = 16 if is_complex else 8
        band = entry * self.side * (self.width + 1)
        filling = self.block_bytes(is_complex) + self._table_bytes
        return band + max(band, filling)

    def block_bytes(self, is_complex: bool) -> int:
        """Bytes of what two taps of the first axis add to two of its places."""
        entry = 16 if is_complex else 8
        squares = [axis.taps**2 for axis in self.axes[1:]]
        products = [
            math.prod(squares[:j]) * math.prod(axis.pairs for axis in self.axes[1 + j :])
            for j in range(len(squares) + 1)
        ]
        return (4 * entry + 16) * self.channels**2 * max(products)

    @property
    def _table_bytes(self) -> int:
        axis = self.axes[0]
        row = 96 * axis.taps * axis.places
        kept = min(KEPT_BYTES, 32 * axis.taps**2 * axis.places)
        return row + kept + sum(axis.bytes for axis in self.axes[1:])

    def ordered(self, taps: Tensor, kernel: Sequence[int]) -> Tensor:
        """Taps (k_1 ... k_d, rows, columns), flat, in the order of the layout."""
        shaped = taps.reshape(*kernel, *taps.shape[-2:])
        axes = [len(kernel), len(kernel) + 1]
        return shaped.permute(*self.order, *axes).flatten(0, len(kernel) - 1)
