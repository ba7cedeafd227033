"""Rigorous bands around the whole spectrum of any convolution, at the cost of FFTs."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from convspec.limits import DEFAULT_MAX_BYTES, require_bytes
from convspec.matrix import frobenius_norm
from convspec.operator import ConvOperator
from convspec.spectrum.choose import spectrum
from convspec.spectrum.envelope.axes import relations
from convspec.spectrum.envelope.bands import Band, Shift
from convspec.spectrum.envelope.result import Enclosure, Envelope, down, up
from convspec.spectrum.envelope.tables import KINDS, AxisTables, Relation
from convspec.spectrum.envelope.torus import (
    Torus,
    Turns,
    torus_bytes,
    torus_values,
    turns_of,
)
from convspec.spectrum.fourier.values import fourier_obstacle
from convspec.spectrum.reduce import Reduction
from convspec.spectrum.result import FloatArray
from convspec.spectrum.scale import normalised

__all__ = ["Envelope", "spectral_envelope"]

SOURCES = ("trivial", *KINDS, "frobenius", "fourier")
EPS = float(np.finfo(np.float64).eps)
LARGEST = float(np.finfo(np.float64).max)


def spectral_envelope(
    op: ConvOperator, *, phases: int = 4, max_bytes: int = DEFAULT_MAX_BYTES
) -> Envelope:
    """``lower[i] <= sigma_i(A) <= upper[i]`` for every i, with rounding accounted for.

    Block-circulant operators get their exact spectrum within its error. For any other,
    A and a torus C agree on all but some outputs and pixels, so that the singular values
    of the one interlace those of the other with known index shifts. Bounds are the best,
    index by index, of

    - ``"compression"``: A is a submatrix of a slightly larger torus (zero padding:
      ``N >= n + max(before, after)``), ``sigma_{i+r}(C) <= sigma_i(A) <= sigma_i(C)``;
      reflect, replicate and circular padding show pixels twice, for the square root of
      the multiplicity;
    - ``"larger"``: the same with the next larger torus, where no pixel is shown twice;
    - ``"perturbation"``: A differs from a torus of its own size at the border only;
    - ``"rows"``: circular padding reads rows of a circulant;
    - ``"frobenius"``: ``sum sigma_i^2 = ||A||_F^2`` applied to the bounds themselves;

    each over several phase shifts of the torus, which turn the entries that wrap and
    therefore move its spectrum but not A. Upper bounds are tight (percents); lower ones
    lag by the share of outputs at the border, and are weak for small images.

    Args:
        op: The operator.
        phases: How many phase shifts of each torus, in all, from a nested sequence:
            more of them never widen the band. 4 are all shifts by 0 or pi in 2-D; 16
            those by quarters of a turn. The cost is proportional.
        max_bytes: Byte limit of what is held at a time.

    Returns:
        An :class:`Envelope`.

    Raises:
        ValueError: If phases is not a positive integer.
        TooLargeError: If the values of a torus need more than ``max_bytes``.

    Example:
        >>> import torch, convspec as cs
        >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
        >>> band = cs.spectral_envelope(cs.ConvOperator(laplacian, 3, padding=1))
        >>> bool(band.lower[0] <= 2 + 2**0.5 <= band.upper[0] <= 3.4143)
        True
    """
    integer = isinstance(phases, int | np.integer) and not isinstance(phases, bool)
    if not (integer and phases >= 1):
        raise ValueError(f"phases must be a positive integer; got {phases!r}")
    work, exponent = normalised(op, torch.float64)
    squares = _squares(work)
    if fourier_obstacle(op.geometry) is None:
        band = _exact(work, max_bytes)
    else:
        band = _bounded(work, int(phases), max_bytes)
        band.tighten(squares, SOURCES.index("frobenius"))
    band.monotone()
    return Envelope(
        lower=_scaled(band.lower[0], exponent, 0.0),
        upper=_scaled(band.upper[0], exponent, math.inf),
        shape=op.shape,
        sources=SOURCES,
        lower_source=band.lower_source[0],
        upper_source=band.upper_source[0],
        frobenius_norm=_root(squares, exponent),
    )


def _exact(work: ConvOperator, max_bytes: int) -> Band:
    """The spectrum by Fourier within its error."""
    found = spectrum(work, method="fourier", max_bytes=max_bytes)
    band = Band(1, len(found.values))
    same = Shift(rise=0, drop=0, low=1, high=1)
    band.include(found.values[None], found.error, same, SOURCES.index("fourier"))
    return band


@dataclass(frozen=True)
class _Job:
    """A phase-shifted torus, and the statements about A that it serves."""

    torus: Torus
    turns: Turns


def _bounded(work: ConvOperator, phases: int, max_bytes: int) -> Band:
    """Bands of the groups from every torus and phase, sorted together."""
    reduced = Reduction.of(work.weight.detach(), work.geometry, work.transposed)
    weight, groups = reduced.weight, reduced.groups
    rows, columns = reduced.block_channels
    pairs = zip(work.geometry.axes, reduced.axes, strict=True)
    kept = [(axis, read) for axis, read in pairs if not read.single]
    jobs = _jobs([relations(*pair) for pair in kept], phases, (rows, columns), weight)
    tables = [AxisTables.of(*pair) for pair in kept]
    length = min(
        rows * math.prod(len(table.rows) for table in tables),
        columns * math.prod(len(table.pixels) for table in tables),
    )
    needed = 120 * (groups * length + min(work.shape))
    needed += max(torus_bytes(weight, groups, job.torus) for job in jobs)
    require_bytes(
        f"the envelope of {work}",
        needed,
        max_bytes,
        "take a smaller input_size",
    )
    band = Band(groups, length)
    for job, shifts in jobs.items():
        values, error = torus_values(weight, groups, job.torus, job.turns)
        for source, shift in shifts:
            band.include(values, error, shift, source)
    return band.spread(_counts(reduced), min(work.shape))


def _jobs(
    axes: list[dict[str, list[Relation]]],
    phases: int,
    channels: tuple[int, int],
    weight: torch.Tensor,
) -> dict[_Job, list[tuple[int, Shift]]]:
    """What to decompose, and how it bounds A; all axes in the same way at a time."""
    jobs: dict[_Job, list[tuple[int, Shift]]] = defaultdict(list)
    for kind in KINDS:
        if not all(kind in axis for axis in axes):
            continue
        chosen = [axis[kind] for axis in axes]
        first = [several[0] for several in chosen]
        torus = Torus(
            tuple(relation.frequencies for relation in first),
            tuple(relation.stride for relation in first),
            tuple(relation.lags for relation in first),
        )
        free = tuple(any(r.twisted for r in several) for several in chosen)
        for turns in turns_of(free, phases, not weight.is_complex()):
            valid = [
                [r for r in several if (r.twisted if turn else r.untwisted)]
                for several, turn in zip(chosen, turns, strict=True)
            ]
            shifts = {
                shift
                for combined in product(*valid)
                for shift in Shift.all_of(combined, *channels)
            }
            source = SOURCES.index(kind)
            jobs[_Job(torus, turns)] += [(source, shift) for shift in shifts]
    return {job: shifts for job, shifts in jobs.items() if shifts}


def _counts(reduced: Reduction) -> list[int]:
    """Squares of the singular values of the axes that factor out, all products."""
    counts = np.ones(1, dtype=np.int64)
    for axis in reduced.axes:
        if axis.single:
            counts = np.multiply.outer(counts, axis.counts).reshape(-1)
    return [int(count) for count in counts]


def _squares(work: ConvOperator) -> Enclosure:
    """``||A||_F^2`` of a normalised operator, rounding included.

    The form ``<K, K x_1 M_1 ...>`` is a sum of products of the entries of |K|; by the
    error bound of inner products in any order (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1), it errs by at most about
    (terms) eps times its value at |K|.
    """
    overlaps = [axis.overlap for axis in work.geometry.axes]
    weight = work.weight.detach()
    found = frobenius_norm(weight, overlaps) ** 2
    terms = 4 * (weight.numel() + sum(weight.shape) + 32)
    error = terms * EPS * frobenius_norm(weight.abs(), overlaps) ** 2
    return max(0.0, found - error), found + error


def _root(squares: Enclosure, exponent: int) -> Enclosure:
    lower, upper = (math.sqrt(square) for square in squares)
    ends = np.array([down(lower), up(upper) if upper else 0.0])
    return (
        float(_scaled(ends[:1], exponent, 0.0)[0]),
        float(_scaled(ends[1:], exponent, math.inf)[0]),
    )


def _scaled(values: FloatArray, exponent: int, towards: float) -> FloatArray:
    """``2^exponent * values``, rounded towards 0 or inf; exact in the normal range."""
    with np.errstate(over="ignore", under="ignore"):
        found: FloatArray = np.ldexp(values, exponent)
        back = np.ldexp(found, -exponent)
    found = np.where(back == values, found, np.nextafter(found, towards))
    found = found if towards else np.minimum(found, LARGEST)
    found.setflags(write=False)
    return found
