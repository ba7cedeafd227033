"""Rigorous bands around the whole spectrum of any convolution, at the cost of FFTs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from convspec.arguments import integer
from convspec.arrays import FloatArray
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.operator import ConvOperator, require_operator
from convspec.quantity.outward import scaled, scaled_ends
from convspec.spectrum.envelope.bands import Band, Shift
from convspec.spectrum.envelope.frobenius import frobenius_norm
from convspec.spectrum.envelope.plan import SOURCES, EnvelopePlan
from convspec.spectrum.envelope.result import Envelope
from convspec.spectrum.envelope.ritz import ritz_bounds
from convspec.spectrum.envelope.tighten import tighter
from convspec.spectrum.result import Spectrum
from convspec.spectrum.spectrum import spectrum

__all__ = ["Envelope", "envelope_of", "spectral_envelope"]


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
    plan = EnvelopePlan.of(op, phases, max_flops, max_bytes)
    values = [plan.values_of(share) for share in plan.shares]
    return envelope_of(plan, values, vectors, max_bytes)


def envelope_of(
    plan: EnvelopePlan,
    values: Sequence[FloatArray],
    vectors: Tensor | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Envelope:
    """The envelope that follows from what was decomposed.

    Args:
        plan: What was to be.
        values: Of each of its shares, in their order.
        vectors: Right singular vectors of the operator, as images.
        max_bytes: Byte limit, where the spectrum is exact.
    """
    work, exponent = plan.work, plan.exponent
    band = _exact(work, max_bytes) if plan.exact else plan.band(values)
    norm = frobenius_norm(work)
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
        shape=work.shape,
        sources=SOURCES,
        lower_source=lower_source,
        upper_source=upper_source,
        frobenius_norm=scaled_ends(norm, exponent),
        tori=plan.tori,
    )


def _vectors(leading: Spectrum, op: ConvOperator) -> Tensor:
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
