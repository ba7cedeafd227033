"""Rigorous bands around the whole spectrum of any convolution, at the cost of FFTs."""

from __future__ import annotations

import math

import numpy as np
import torch

from convspec.arguments import integer
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.reduce import Reduction
from convspec.quantity.outward import scaled, scaled_ends
from convspec.spectrum.envelope.bands import Band, Shift
from convspec.spectrum.envelope.frobenius import frobenius_norm
from convspec.spectrum.envelope.jobs import Job, affordable, torus_jobs, unfolding_job
from convspec.spectrum.envelope.result import Envelope
from convspec.spectrum.envelope.ritz import ritz_bounds
from convspec.spectrum.envelope.tighten import tighter
from convspec.spectrum.envelope.torus import torus_bytes, torus_values
from convspec.spectrum.result import Spectrum
from convspec.spectrum.spectrum import explain, spectrum
from convspec.tori.relation import KINDS
from convspec.tori.relations import relations

__all__ = ["Envelope", "spectral_envelope"]

SOURCES = ("trivial", *KINDS, "frobenius", "fourier", "krylov", "given")


@isolated
def spectral_envelope(
    op: ConvOperator,
    *,
    phases: int = 4,
    leading: Spectrum | None = None,
    max_flops: float = math.inf,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
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
    - ``"unfolding"``: the same with axes that show pixels twice, some or all, unfolded
      into channels, for the square root of how often a pixel is read;
    - ``"larger"``: the same with the next larger torus, where no pixel is shown twice;
    - ``"perturbation"``: A differs from a torus of its own size at the border only;
    - ``"rows"``: circular padding reads rows of a circulant;
    - ``"krylov"``: Ritz values are below the values they stand for;
    - ``"frobenius"``: ``sum sigma_i^2 = ||A||_F^2`` applied to the bounds themselves;

    tori each over several phase shifts, which turn the entries that wrap and therefore
    move the spectrum of the torus but not A. Upper bounds are tight (percents) for zero
    and circular padding. At the very top of reflect and replicate padding they count
    repeated pixels at their worst and can be several times the truth: up to 2.6
    times were seen with replicate padding 2, a 3 x 3 kernel and stride 2 on 9 x 8. Lower
    ones lag by the share of outputs at the border, and are weak for small images, except
    those by Krylov.

    Args:
        op: The operator.
        phases: How many phase shifts of each torus, in all, from a nested sequence:
            more of them never widen the band. 4 are all shifts by 0 or pi in 2-D; 16
            those by quarters of a turn. The cost is proportional. 0 for no torus, only
            the kernel unfolded.
        leading: The largest singular values of the same operator with their vectors,
            ``spectrum(op, k, vectors=True)``: what the vectors prove is certified anew
            and raises the first k lower bounds.
        max_flops: Tori whose operations together are estimated beyond this are left
            out, the least telling ones first; ``tori`` of the result counts them. With
            none of them within it there is the unfolded kernel.
        max_bytes: Byte limit of what is held at a time.

    Returns:
        An :class:`Envelope`.

    Raises:
        ValueError: If phases is not an integer of at least 0, or leading has no vectors
            of this operator.
        TooLargeError: If the values of a torus need more than ``max_bytes``.

    Example:
        >>> import torch, convspec as cs
        >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
        >>> band = cs.spectral_envelope(cs.ConvOperator(laplacian, 3, padding=1))
        >>> bool(band.lower[0] <= 2 + 2**0.5 <= band.upper[0] <= 3.4143)
        True
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "spectral_envelope")
    phases = integer("phases", phases, 0)
    vectors = None if leading is None else _vectors(leading, op)
    work, exponent = normalised(op, torch.float64)
    norm = frobenius_norm(work)
    plan = explain(work, max_bytes=max_bytes)
    if plan.method == "fourier" and plan.flops <= max_flops:
        band, tori = _exact(work, max_bytes), (1, 1)
    else:
        band, tori = _bounded(work, phases, max_flops, max_bytes)
    ritz = np.zeros(0) if vectors is None else ritz_bounds(work, vectors)
    (lower, lower_source), (upper, upper_source) = tighter(
        (band.lower[0], band.lower_source[0]),
        (band.upper[0], band.upper_source[0]),
        (ritz, np.zeros(0)),
        SOURCES.index("krylov"),
        norm,
        SOURCES.index("frobenius"),
    )
    return Envelope(
        lower=scaled(lower, exponent, 0.0),
        upper=scaled(upper, exponent, math.inf),
        shape=op.shape,
        sources=SOURCES,
        lower_source=lower_source,
        upper_source=upper_source,
        frobenius_norm=scaled_ends(norm, exponent),
        tori=tori,
    )


def _vectors(leading: Spectrum, op: ConvOperator) -> torch.Tensor:
    """The right singular vectors of a spectrum of the operator, as images."""
    if not isinstance(leading, Spectrum):
        raise TypeError(
            f"leading must be a Spectrum; got {type(leading).__name__}; take "
            "spectrum(op, k, vectors=True)"
        )
    right = leading.right
    if right is None or leading.shape != op.shape or right.shape[1:] != op.input_shape:
        got = "no vectors" if right is None else f"vectors {tuple(right.shape[1:])}"
        raise ValueError(
            "leading must be the largest singular values of the same operator with their "
            f"vectors, of {op.shape[0]} x {op.shape[1]} with images {op.input_shape}; "
            f"got {leading.shape[0]} x {leading.shape[1]} with {got}; take "
            "spectrum(op, k, vectors=True)"
        )
    return right


def _exact(work: ConvOperator, max_bytes: int) -> Band:
    """The spectrum by Fourier within its error."""
    found = spectrum(work, method="fourier", max_bytes=max_bytes)
    band = Band(1, len(found.values))
    same = Shift(rise=0, drop=0, low=1, high=1)
    band.include(found.values[None], found.error, same, SOURCES.index("fourier"))
    return band


def _bounded(
    work: ConvOperator, phases: int, max_flops: float, max_bytes: int
) -> tuple[Band, tuple[int, int]]:
    """Bands of the groups from the tori, sorted together; tori taken and planned."""
    reduced = Reduction.of(work)
    weight, groups, channels = reduced.weight, reduced.groups, reduced.block_channels
    axes = [relations(read) for read in reduced.kept]
    planned: list[Job] = []
    if axes and phases:
        planned = torus_jobs(axes, phases, channels, weight, groups)
    jobs = affordable(planned, max_flops)
    tori = len(jobs), len(planned)
    if not jobs:
        jobs = affordable([unfolding_job(axes, channels, weight, groups)], max_flops)
    length = min(
        channels[0] * math.prod(read.live.outputs for read in reduced.kept),
        channels[1] * math.prod(len(read.pixels) for read in reduced.kept),
    )
    needed = 120 * (groups * length + min(work.shape))
    needed += max((torus_bytes(weight, groups, job.torus) for job in jobs), default=0)
    require_bytes(
        f"the envelope of {work}", needed, max_bytes, "take a smaller input_size"
    )
    band = Band(groups, length)
    for job in jobs:
        values, error = torus_values(weight, groups, job.torus, job.turns)
        for kind, shift in job.shifts:
            band.include(values, error, shift, SOURCES.index(kind))
    return band.spread(_counts(reduced), min(work.shape)), tori


def _counts(reduced: Reduction) -> list[int]:
    """Squares of the singular values of the axes that factor out, all products."""
    counts = np.ones(1, dtype=np.int64)
    for axis in reduced.axes:
        if axis.single:
            counts = np.multiply.outer(counts, axis.counts).reshape(-1)
    return [int(count) for count in counts]
