"""How one axis of a convolution sits inside a torus: the integers that envelopes need.

Write ``S[t]`` for the 0/1 table of tap t of an axis and ``C[t]`` for the cyclic table of
the same tap on a torus of M outputs and ``N = s M`` pixels, its wrapped entries times
``exp(i phi)``. A :class:`Relation` states, for all taps at once,

    S[t] = J C[t] P   on the kept outputs and on the kept subspace of pixels,

with J and P matrices that have at most one 1 per row and no other entries, up to factors
of modulus 1: P spreads pixels over the torus, J repeats outputs of the torus. Zero rows
and columns are left out on both sides. These statements multiply over axes, since A is a
sum of Kronecker products, and singular values follow; see
:mod:`convspec.spectrum.envelope.bands`.

The tables are compared entry by entry, so a relation is verified where it is made, never
taken from a formula for the size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy
from scipy.sparse import coo_array

from convspec.arrays import IntArray
from convspec.operators.reads import Reads
from convspec.tori.relation import KINDS, Relation, Side

__all__ = ["compression", "relations"]


def relations(read: Reads) -> dict[str, list[Relation]]:
    """The relations to tori of an axis with more than one live tap, by kind.

    A cyclic axis is its torus, whatever the kind, but for unfolding.
    """
    live = read.live
    if read.cyclic:
        torus = {kind: [_cyclic(read)] for kind in KINDS}
        return torus | {"unfolding": [_unfolding(live)]}
    found = {
        "compression": [compression(live)],
        "larger": list(_larger(live)),
        "perturbation": list(_perturbations(live)),
        "rows": list(_row_subsets(live)),
        "unfolding": [_unfolding(live)],
    }
    return {kind: several for kind, several in found.items() if several}


def _cyclic(read: Reads) -> Relation:
    """A cyclic axis is the torus of its outputs and of the pixels that are read."""
    size = read.outputs
    pixels = len(read.pixels)
    return Relation(
        "rows",
        read.pixels_per_output,
        size,
        tuple(read.source[:, 0].tolist()),
        tuple(range(size)),
        Side.plain(size, size, size),
        Side.plain(pixels, pixels, pixels),
        untwisted=True,
        twisted=False,
    )


def compression(read: Reads, kind: str = "compression", least: int = 1) -> Relation:
    """The smallest torus that holds the padded axis; any phase.

    ``S[t] = T[t] P`` with T the valid convolution on the coordinates that show a pixel
    and P the map from pixels to coordinates. T is a submatrix of the torus as soon as
    outputs and coordinates stay apart modulo M and N and no tap that reads a zero falls
    on one of the coordinates; for zero padding that is ``N >= n + max(before, after)``.
    No wrapped entry is ever used, up to the phases of rows and columns, so every phi
    will do. Where a pixel is shown more than once P is no isometry.
    """
    used, shows = read.used
    total = len(read.rows)
    frequencies = max(least, total, -(-len(used) // read.axis.stride))
    while not _holds(read, used, frequencies):
        frequencies += 1
    counts = np.unique(shows, return_counts=True)[1]
    torus = _torus_pixels(read, frequencies, read.axis.stride, used)
    rows = Side.plain(total, total, frequencies)
    pixels = len(counts)
    columns = Side(pixels, pixels, pixels, torus, tuple(counts.tolist()))
    return _relation(kind, read, frequencies, None, rows, columns)


def _larger(read: Reads) -> Iterator[Relation]:
    """The next torus that holds the axis, for paddings that show no pixel twice."""
    if read.isometric:
        smallest = compression(read).frequencies
        yield compression(read, "larger", smallest + 1)


def _holds(read: Reads, used: IntArray, frequencies: int) -> bool:
    """Whether the valid convolution on ``used`` is a submatrix of this torus."""
    size = read.axis.stride * frequencies
    if not (_apart(read.rows, frequencies) and _apart(used, size)):
        return False
    zeros = read.coordinates[read.source < 0]
    return not np.isin(zeros % size, used % size).any()


def _apart(places: IntArray, modulus: int) -> bool:
    """Whether no two of the places coincide modulo the size of a torus."""
    return len(np.unique(places % modulus)) == len(places)


def _perturbations(read: Reads) -> Iterator[Relation]:
    """The smallest torus that holds the axis without its padding: the border differs.

    The outputs whose row of the table differs are given up; or else the pixels that the
    differences touch. At phase 0 a difference is ``e_a - e_b`` (or ``e_a``, where the
    other side reads a zero): it vanishes on vectors that are constant on the connected
    components of the graph with these edges and zero on the component of "zero", a
    subspace of codimension vertices minus components. At other phases the entries that
    wrap differ too, and all the pixels concerned are given up. Paddings that show no
    pixel twice are compressions, which serve better, and are compared at phase 0 only.
    """
    frequencies = max(len(read.rows), -(-len(read.pixels) // read.axis.stride))
    while not (
        _apart(read.rows, frequencies)
        and _apart(read.pixels, read.axis.stride * frequencies)
    ):
        frequencies += 1
    shown, wound = _shown(read, read.axis.stride * frequencies)
    differs = shown != read.shown
    moved = differs | ((shown >= 0) & wound)
    yield from _given_up(read, frequencies, differs, shown, twisted=False)
    if not read.isometric:
        yield from _given_up(read, frequencies, moved, shown, twisted=True)


def _shown(read: Reads, size: int) -> tuple[IntArray, IntArray]:
    """What the torus shows where each tap reads, and whether it got there by wrapping."""
    place = np.full(size, -1, dtype=np.int64)
    place[read.pixels % size] = read.pixels
    shown = place[read.coordinates % size]
    return shown, shown != read.coordinates


def _given_up(
    read: Reads,
    frequencies: int,
    differs: IntArray,
    shown: IntArray,
    *,
    twisted: bool,
) -> Iterator[Relation]:
    """Relations that leave out what differs, at phase 0 or at every other phase."""
    torus = _torus_pixels(read, frequencies, read.axis.stride, read.pixels)
    total, pixels = len(read.rows), len(read.pixels)
    keep = np.flatnonzero(~differs.any(axis=0))
    touched = _codimension(read.shown[differs], shown[differs], twisted)
    choices = [
        (keep, len(keep), pixels),
        (None, total, pixels - touched),
    ]
    for outputs, rows, columns in choices:
        if rows and columns:
            yield _relation(
                "perturbation",
                read,
                frequencies,
                outputs,
                Side.plain(total, rows, frequencies),
                Side.plain(pixels, columns, torus),
                untwisted=not twisted,
                twisted=twisted,
            )
        if rows == total and columns == pixels:
            return


def _codimension(first: IntArray, second: IntArray, twisted: bool) -> int:
    """Dimensions to give up so that every ``e_first - e_second`` vanishes; -1 is zero.

    Twisted, ``e_second`` has a phase and all the pixels concerned are given up.
    """
    vertices, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    if twisted:
        return int((vertices >= 0).sum())
    count = len(vertices)
    if not count:
        return 0
    tail, head = place.reshape(2, -1)
    graph = coo_array((np.ones(len(tail)), (tail, head)), shape=(count, count))
    components = scipy.sparse.csgraph.connected_components(
        graph, directed=False, return_labels=False
    )
    # a component without "zero" leaves its constants; that of "zero" leaves nothing, but
    # then "zero" is one of the vertices and no dimension of its own
    return count - int(components)


def _row_subsets(read: Reads) -> Iterator[Relation]:
    """Circular padding reads rows of a circulant of the input's own size; phase 0.

    A stride that does not divide the size takes rows of the stride-1 circulant; padding
    beyond the kernel's extent repeats rows.
    """
    if read.axis.mode != "circular":
        return
    divides = read.axis.size % read.axis.stride == 0
    stride = read.axis.stride if divides else 1
    frequencies = read.axis.size // stride
    places = read.rows * (read.axis.stride // stride) % frequencies
    if not (read.coordinates % read.axis.size == read.shown).all():
        return
    counts = np.unique(places, return_counts=True)[1]
    torus = _torus_pixels(read, frequencies, stride, read.pixels)
    total, hit, pixels = len(read.rows), len(counts), len(read.pixels)
    yield _relation(
        "rows",
        read,
        frequencies,
        None,
        Side(total, total, hit, frequencies, tuple(counts.tolist())),
        Side.plain(pixels, pixels, torus),
        stride=stride,
        twisted=False,
    )


def _unfolding(read: Reads) -> Relation:
    """Each output reads pixels of its own: the torus of stride k, where no taps meet.

    ``S[t] = C[t] P`` with P showing each pixel at every place (t, o) that reads it. The
    blocks of that torus are the row ``[K_1 ... K_k]``, the same at every frequency, so
    that the norm becomes the unfolding bound of Tsuzuku, Sato and Sugiyama,
    "Lipschitz-Margin Training", NeurIPS 2018: ``sqrt(max reads of a pixel) ||R||``.
    """
    taps, outputs = read.source.shape
    pixels = len(read.pixels)
    return Relation(
        "unfolding",
        taps,
        outputs,
        tuple(range(taps)),
        tuple(range(outputs)),
        Side.plain(outputs, outputs, outputs),
        Side(pixels, pixels, pixels, taps * outputs, tuple(read.counts.tolist())),
        untwisted=True,
        twisted=False,
    )


def _relation(
    kind: str,
    read: Reads,
    frequencies: int,
    outputs: IntArray | None,
    rows: Side,
    columns: Side,
    *,
    stride: int | None = None,
    untwisted: bool = True,
    twisted: bool = True,
) -> Relation:
    """A relation to the torus of the live taps: of all outputs, or of the given ones."""
    kept = range(len(read.rows)) if outputs is None else outputs.tolist()
    return Relation(
        kind,
        stride or read.axis.stride,
        frequencies,
        tuple(read.lags.tolist()),
        tuple(kept),
        rows,
        columns,
        untwisted,
        twisted,
    )


def _torus_pixels(read: Reads, frequencies: int, stride: int, more: IntArray) -> int:
    """Pixels of a torus that a tap of some output reads, or that are among ``more``."""
    size = frequencies * stride
    live = np.zeros(size, dtype=bool)
    steps = stride * np.arange(frequencies, dtype=np.int64)
    live[np.add.outer(read.lags, steps) % size] = True
    live[more % size] = True
    return int(live.sum())
