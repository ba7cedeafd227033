"""Frame bounds on one input size: squares of extreme singular values, enclosed."""

from __future__ import annotations

import numpy as np
import torch

from convspec.bounds.spectral_norm.norm import spectral_norm
from convspec.errors import NotConverged, TooLargeError
from convspec.frames.result import FrameBounds
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.linear_map import LinearMap, require_map
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.rounding.directed import down_nonnegative, up
from convspec.spectrum.envelope.envelope import spectral_envelope
from convspec.spectrum.result import Spectrum
from convspec.spectrum.spectrum import explain, spectrum

__all__ = ["NOTHING", "SQUARED", "frame_bounds", "of_dtype"]

# operations up to which all singular values are computed, a minute or so
ALL_VALUES = 1e11
# and up to which a sparse inverse is, for the smallest
SMALLEST = 1e11
# gap of the norm that is asked for; that of a ratio of squares is as many times it
NORM_RTOL, SQUARED = 1e-6, 4
MOST = 1e-3
NOTHING = Enclosure(0.0, 0.0)


@isolated
def frame_bounds(
    op: LinearMap,
    *,
    max_flops: float = ALL_VALUES,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> FrameBounds:
    """The frame bounds of a filter bank on signals of one size, enclosed.

    A convolution is the analysis operator of a filter bank: its coefficients ``A x`` are
    the products of x with atoms, the filters at every place. The bounds are the squares
    of A's singular values, the n-th and the first. Those of a bank of several strides are
    the extreme values of ``spectrum(a.H @ a + b.H @ b)``.

    All values are computed where that takes at most ``max_flops`` and fits, with their
    error. Of larger operators the upper bound comes from :func:`spectral_norm`, and the
    lower one from :func:`spectral_envelope` and, above, the smallest value that is found.
    They hold all the same; the lower one may have 0 for its lower end.

    Args:
        op: The analysis operator, or a map composed of some; of a transposed
            convolution the synthesis operator, whose bounds are those of a Riesz basis.
        max_flops: Operations up to which all singular values are computed.
        max_bytes: Byte limit of what is held at a time.

    Raises:
        TooLargeError: If not even the fewest vectors fit ``max_bytes``.
        TypeError: If op is no linear map.
        ValueError: If max_flops is not positive.

    Source: Cvetkovic and Vetterli, "Oversampled filter banks", IEEE Trans. Signal
    Process. 46, 1998; Boelcskei, Hlawatsch and Feichtinger, the same volume.

    Example:
        >>> import torch, convspec as cs
        >>> bank = torch.tensor([[[1.0, 1.0, 0.0]], [[1.0, 0.0, -1.0]]])
        >>> op = cs.ConvOperator(bank, 6, padding=1, padding_mode="circular")
        >>> found = cs.frame_bounds(op)  # 4 cos^2(w/2) + 4 sin^2 w, w = k pi / 3
        >>> 0.0 in found.lower, 6.0 in found.upper, found.redundancy
        (True, True, 2.0)
    """
    max_bytes = byte_limit(max_bytes)
    require_map(op, "frame_bounds")
    if not max_flops > 0:
        raise ValueError(f"max_flops must be positive; got {max_flops}; inf is no limit")
    spec = _all_values(op, max_flops, max_bytes)
    if spec is not None:
        largest, smallest = _ends(spec, 0), _ends(spec, -1)
        how = f"all singular values, {spec.method}"
    else:
        largest, smallest = _enclosed(op, max_bytes)
        how = "certified ends of the largest and the smallest singular value"
    # of a ratio of squares; where much is unknown, nothing is the same
    rtol = max(of_dtype(op.dtype), min(SQUARED * largest.gap, MOST))
    m, n = op.shape
    if m < n:
        smallest = NOTHING
    size = "x".join(map(str, op.input_shape))
    return FrameBounds(
        smallest.squared if smallest.upper > 0 else NOTHING,
        largest.squared if largest.upper > 0 else NOTHING,
        m / n,
        f"inputs {size}; {how}",
        rtol,
    )


def of_dtype(dtype: torch.dtype) -> float:
    """Two thirds of the digits of a dtype: the cube root of its epsilon, squared."""
    return float(np.cbrt(torch.finfo(dtype).eps)) ** 2


def _all_values(op: LinearMap, max_flops: float, max_bytes: int) -> Spectrum | None:
    """The whole spectrum, or None where it is too much work or too large."""
    try:
        plan = explain(op, max_bytes=max_bytes)
        if plan.method is None or plan.flops > max_flops:
            return None
        return spectrum(op, max_bytes=max_bytes)
    except TooLargeError:
        return None


def _ends(spec: Spectrum, place: int) -> Enclosure:
    """A singular value within its error."""
    if len(spec) - spec.zeros <= place % len(spec):
        return NOTHING
    error = float(np.broadcast_to(spec.error, spec.values.shape)[place])
    value = float(spec.values[place])
    if value == error == 0:
        return NOTHING
    return Enclosure(down_nonnegative(value - error), up(value + error))


def _enclosed(op: LinearMap, max_bytes: int) -> tuple[Enclosure, Enclosure]:
    """The largest and the smallest of min(m, n) singular values of a large operator."""
    if not isinstance(op, ConvOperator):
        norm = spectral_norm(op, NORM_RTOL, max_bytes=max_bytes)
        return Enclosure(*norm), Enclosure(0.0, norm.upper)
    band = spectral_envelope(op, max_bytes=max_bytes)
    largest = band.norm
    if largest.gap > NORM_RTOL:  # that takes the most
        largest = largest & spectral_norm(op, NORM_RTOL, max_bytes=max_bytes)
    return largest, _smallest(op, band.smallest, max_bytes)


def _smallest(op: ConvOperator, known: Enclosure, max_bytes: int) -> Enclosure:
    """The smallest value within what is known and what is found of it."""
    if known.gap <= NORM_RTOL:
        return known
    plan = explain(op, 1, "smallest", max_bytes=max_bytes)
    if plan.method is None or plan.flops > SMALLEST:
        return known
    try:
        found = spectrum(op, 1, "smallest", max_bytes=max_bytes)
    except NotConverged as stopped:
        if not isinstance(stopped.best, Spectrum):
            return known
        found = stopped.best
    # a singular value is that near; there may be smaller ones
    return known & Enclosure(0.0, _ends(found, 0).upper)
