"""An axis as a direct sum: outputs and pixels that see one another, class by class.

With dilation d an output reads pixels of one residue class modulo d, so that up to the
order of pixels and outputs every ``S[t]`` of the axis is one and the same direct sum over
classes, and so is A, over the products of the axes' classes. With zero padding that is a
multiple of d each class is the convolution without dilation on every d-th pixel; with
other padding classes are padded differently, and a circular border joins those that the
size does not keep apart. All that is read off the table of reads: classes are the
connected components of the graph of outputs and pixels. Classes of one pattern have the
same singular values and are decomposed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convspec.arrays import IntArray
from convspec.operators.components import components
from convspec.operators.reads import Reads

__all__ = ["EqualClasses", "equal_classes", "residue_classes"]


def residue_classes(read: Reads) -> list[tuple[int, Reads]]:
    """The classes of an axis that differ, and how often each occurs.

    An axis that one tap reads is left as it is: it factors out.

    >>> from convspec.operators.axis import Axis
    >>> dilated = Reads.of(Axis(7, 7, 3, dilation=3, before=3, after=3))
    >>> [(times, part.outputs) for times, part in residue_classes(dilated)]
    [(2, 2), (1, 3)]
    """
    read = read.live
    if read.single or _is_chain(read):
        return [(1, read)]
    places = _by_pattern(read)
    if len(places) == len(places[0]) == 1:
        return [(1, read)]
    return [(len(equal), read.of_outputs(equal[0])) for equal in places]


@dataclass(frozen=True)
class EqualClasses:
    """Classes of one pattern: with their outputs and pixels in order they are copies.

    Attributes:
        outputs: Of the axis, class by class; (classes, m').
        pixels: Of the axis, class by class; (classes, n').
        taps: Those that read something; (k',).
        source: ``source[t, o]``: which of the n' pixels of its class tap ``taps[t]`` of
            output o reads, or -1; (k', m').
    """

    outputs: IntArray
    pixels: IntArray
    taps: IntArray
    source: IntArray


def equal_classes(read: Reads) -> list[EqualClasses]:
    """All classes of an axis, those of one pattern together; none if it reads nothing.

    Outputs that read nothing and pixels that nothing reads are in no class.

    >>> from convspec.operators.axis import Axis
    >>> patches = Reads.of(Axis(7, 2, 3, stride=3))
    >>> [found.pixels.tolist() for found in equal_classes(patches)]
    [[[0, 1, 2], [3, 4, 5]]]
    """
    read = read.live
    if not read.outputs:
        return []
    return [_described(read, places) for places in _by_pattern(read)]


def _described(read: Reads, places: IntArray) -> EqualClasses:
    """Classes by the places of their outputs; (classes, m')."""
    first = read.of_outputs(places[0])
    tap, output = np.nonzero(first.source >= 0)
    _, at = np.unique(first.source[tap, output], return_index=True)
    taps = np.searchsorted(read.taps, first.taps[tap[at]])
    pixels = read.pixels[read.source[taps, places[:, output[at]]]]
    return EqualClasses(read.rows[places], pixels, first.taps, first.source)


def _by_pattern(read: Reads) -> list[IntArray]:
    """The places of the outputs, class by class; an array for each pattern."""
    tap, output = np.nonzero(read.source >= 0)
    shape = read.outputs, len(read.pixels)
    classes, _ = components(output, read.source[tap, output], shape)
    if not (classes != classes[0]).any():
        return [np.arange(read.outputs)[None]]
    return _distinct(read, classes)


def _is_chain(read: Reads) -> bool:
    """Whether two taps alone join all outputs, as without dilation they mostly do.

    With p = s / gcd(s, d), tap t + p of an output reads what tap t of another does.
    """
    two = read.source[[0, min(read.axis.phases, len(read.taps) - 1)]]
    tap, output = np.nonzero(two >= 0)
    shape = read.outputs, len(read.pixels)
    classes, _ = components(output, two[tap, output], shape)
    return not (classes != classes[0]).any()


def _distinct(read: Reads, classes: IntArray) -> list[IntArray]:
    """The outputs of the classes of each pattern; (classes, outputs) each."""
    names, sizes = np.unique(classes, return_counts=True)
    order = np.argsort(classes, kind="stable")  # outputs, class by class
    first = np.cumsum(sizes) - sizes
    table = _numbered(read.source[:, order], np.repeat(np.arange(len(names)), sizes))
    found = []
    for size in np.unique(sizes):
        places = first[sizes == size, None] + np.arange(size)  # (classes, outputs)
        patterns = np.moveaxis(table[:, places], 1, 0).reshape(len(places), -1)
        kinds, which = np.unique(patterns, axis=0, return_inverse=True)
        which = which.reshape(-1)
        found += [order[places[which == kind]] for kind in range(len(kinds))]
    return found


def _numbered(source: IntArray, classes: IntArray) -> IntArray:
    """A table of reads with the pixels of each class numbered as they are first read.

    Args:
        source: Places of pixels, or -1; (k, m), outputs class by class.
        classes: The class of each output, ascending from 0; (m,).
    """
    sequence = source.T.reshape(-1)
    live = np.flatnonzero(sequence >= 0)
    pixels, at = np.unique(sequence[live], return_index=True)
    rank = np.empty(len(pixels), dtype=np.int64)
    order = np.argsort(at)
    rank[order] = np.arange(len(pixels))
    owner = classes[live[at[order]] // len(source)]  # of the pixels as first read
    first = np.searchsorted(owner, np.arange(classes[-1] + 1))
    number: IntArray = rank[source] - first[classes]
    return np.where(source >= 0, number, -1)
