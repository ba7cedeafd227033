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
from convspec.operators.geometry import Axis
from convspec.operators.reduce import ReadAxis
from convspec.tori.tables import KINDS, AxisTables, Relation, Side

__all__ = ["compression", "relations"]


def relations(axis: Axis, read: ReadAxis) -> dict[str, list[Relation]]:
    """Relations of an axis with more than one live tap, by kind.

    A cyclic axis is its torus, whatever the kind, but for unfolding.
    """
    tables = AxisTables.of(axis, read)
    if read.cyclic:
        torus = {kind: [_cyclic(read)] for kind in KINDS}
        return torus | {"unfolding": [_unfolding(tables)]}
    found = {
        "compression": [compression(tables)],
        "larger": list(_larger(tables)),
        "perturbation": list(_perturbations(tables)),
        "rows": list(_row_subsets(tables)),
        "unfolding": [_unfolding(tables)],
    }
    return {kind: several for kind, several in found.items() if several}


def _cyclic(read: ReadAxis) -> Relation:
    size = read.outputs
    pixels = len(read.pixels)
    return Relation(
        "rows",
        read.stride,
        size,
        tuple(read.source[:, 0].tolist()),
        tuple(range(size)),
        Side.plain(size, size, size),
        Side.plain(pixels, pixels, pixels),
        untwisted=True,
        twisted=False,
    )


def compression(
    tables: AxisTables, kind: str = "compression", least: int = 1
) -> Relation:
    """The smallest torus that holds the padded axis; any phase.

    ``S[t] = T[t] P`` with T the valid convolution on the coordinates that show a pixel
    and P the map from pixels to coordinates. T is a submatrix of the torus as soon as
    outputs and coordinates stay apart modulo M and N and no tap that reads a zero falls
    on one of the coordinates; for zero padding that is ``N >= n + max(before, after)``.
    No wrapped entry is ever used, up to the phases of rows and columns, so every phi
    will do. Where a pixel is shown more than once P is no isometry.
    """
    used, shows = tables.used
    total = len(tables.rows)
    frequencies = max(least, total, -(-len(used) // tables.stride))
    while not _holds(tables, used, frequencies):
        frequencies += 1
    counts = np.unique(shows, return_counts=True)[1]
    torus = tables.torus_pixels(frequencies, tables.stride, used)
    rows = Side.plain(total, total, frequencies)
    pixels = len(counts)
    columns = Side(pixels, pixels, pixels, torus, tuple(counts.tolist()))
    return _relation(kind, tables, frequencies, None, rows, columns)


def _larger(tables: AxisTables) -> Iterator[Relation]:
    """The next torus that holds the axis, for paddings that show no pixel twice."""
    if tables.isometric:
        smallest = compression(tables).frequencies
        yield compression(tables, "larger", smallest + 1)


def _holds(tables: AxisTables, used: IntArray, frequencies: int) -> bool:
    """Whether the valid convolution on ``used`` is a submatrix of this torus."""
    size = tables.stride * frequencies
    if not (_apart(tables.rows, frequencies) and _apart(used, size)):
        return False
    zeros = tables.coordinates[tables.source < 0]
    return not np.isin(zeros % size, used % size).any()


def _apart(places: IntArray, modulus: int) -> bool:
    return len(np.unique(places % modulus)) == len(places)


def _perturbations(tables: AxisTables) -> Iterator[Relation]:
    """The smallest torus that holds the axis without its padding: the border differs.

    The outputs whose row of the table differs are given up; or else the pixels that the
    differences touch. At phase 0 a difference is ``e_a - e_b`` (or ``e_a``, where the
    other side reads a zero): it vanishes on vectors that are constant on the connected
    components of the graph with these edges and zero on the component of "zero", a
    subspace of codimension vertices minus components. At other phases the entries that
    wrap differ too, and all the pixels concerned are given up. Paddings that show no
    pixel twice are compressions, which serve better, and are compared at phase 0 only.
    """
    frequencies = max(len(tables.rows), -(-len(tables.pixels) // tables.stride))
    while not (
        _apart(tables.rows, frequencies)
        and _apart(tables.pixels, tables.stride * frequencies)
    ):
        frequencies += 1
    shown, wound = _shown(tables, tables.stride * frequencies)
    differs = shown != tables.source
    moved = differs | ((shown >= 0) & wound)
    yield from _given_up(tables, frequencies, differs, shown, twisted=False)
    if not tables.isometric:
        yield from _given_up(tables, frequencies, moved, shown, twisted=True)


def _shown(tables: AxisTables, size: int) -> tuple[IntArray, IntArray]:
    """What the torus shows where each tap reads, and whether it got there by wrapping."""
    place = np.full(size, -1, dtype=np.int64)
    place[tables.pixels % size] = tables.pixels
    shown = place[tables.coordinates % size]
    return shown, shown != tables.coordinates


def _given_up(
    tables: AxisTables,
    frequencies: int,
    differs: IntArray,
    shown: IntArray,
    *,
    twisted: bool,
) -> Iterator[Relation]:
    """Relations that leave out what differs, at phase 0 or at every other phase."""
    torus = tables.torus_pixels(frequencies, tables.stride, tables.pixels)
    total, pixels = len(tables.rows), len(tables.pixels)
    keep = np.flatnonzero(~differs.any(axis=0))
    touched = _codimension(tables.source[differs], shown[differs], twisted)
    choices = [
        (keep, len(keep), pixels),
        (None, total, pixels - touched),
    ]
    for outputs, rows, columns in choices:
        if rows and columns:
            yield _relation(
                "perturbation",
                tables,
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


def _row_subsets(tables: AxisTables) -> Iterator[Relation]:
    """Circular padding reads rows of a circulant of the input's own size; phase 0.

    A stride that does not divide the size takes rows of the stride-1 circulant; padding
    beyond the kernel's extent repeats rows.
    """
    if not tables.circular:
        return
    divides = tables.size % tables.stride == 0
    stride = tables.stride if divides else 1
    frequencies = tables.size // stride
    places = tables.rows * (tables.stride // stride) % frequencies
    if not (tables.coordinates % tables.size == tables.source).all():
        return
    counts = np.unique(places, return_counts=True)[1]
    torus = tables.torus_pixels(frequencies, stride, tables.pixels)
    total, hit, pixels = len(tables.rows), len(counts), len(tables.pixels)
    yield _relation(
        "rows",
        tables,
        frequencies,
        None,
        Side(total, total, hit, frequencies, tuple(counts.tolist())),
        Side.plain(pixels, pixels, torus),
        stride=stride,
        twisted=False,
    )


def _unfolding(tables: AxisTables) -> Relation:
    """Each output reads pixels of its own: the torus of stride k, where no taps meet.

    ``S[t] = C[t] P`` with P showing each pixel at every place (t, o) that reads it. The
    blocks of that torus are the row ``[K_1 ... K_k]``, the same at every frequency, so
    that the norm becomes the unfolding bound of Tsuzuku, Sato and Sugiyama,
    "Lipschitz-Margin Training", NeurIPS 2018: ``sqrt(max reads of a pixel) ||R||``.
    """
    taps, outputs = tables.source.shape
    counts = np.unique(tables.source[tables.source >= 0], return_counts=True)[1]
    pixels = len(counts)
    return Relation(
        "unfolding",
        taps,
        outputs,
        tuple(range(taps)),
        tuple(range(outputs)),
        Side.plain(outputs, outputs, outputs),
        Side(pixels, pixels, pixels, taps * outputs, tuple(counts.tolist())),
        untwisted=True,
        twisted=False,
    )


def _relation(
    kind: str,
    tables: AxisTables,
    frequencies: int,
    outputs: IntArray | None,
    rows: Side,
    columns: Side,
    *,
    stride: int | None = None,
    untwisted: bool = True,
    twisted: bool = True,
) -> Relation:
    kept = range(len(tables.rows)) if outputs is None else outputs.tolist()
    return Relation(
        kind,
        stride or tables.stride,
        frequencies,
        tuple(tables.lags.tolist()),
        tuple(kept),
        rows,
        columns,
        untwisted,
        twisted,
    )
