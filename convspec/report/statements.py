"""What a report says of one layer, number by number: value, guarantee, how, meaning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convspec.quantity.enclosure import Enclosure
from convspec.report.known import UNKNOWN
from convspec.report.layer import LayerReport
from convspec.report.print import EMPTY, enclosed, number, rounded_up, shape, written
from convspec.report.quantities import NORM, QUANTITIES, Quantity
from convspec.report.readings import ENCLOSURE, EXACT, Known
from convspec.spectrum import Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["GUARANTEES", "METHODS", "Statement", "guarantee", "statements"]

OTHER, ESTIMATE = "other operator", "estimate"

GUARANTEES = {
    EXACT: "the number of the layer as it is, up to the rounding error that is stated",
    ENCLOSURE: "certified: the exact number lies between the ends, which have been moved "
    "outward by what rounding can do; >= and <= have one end",
    "probabilistic": "an end holds with the probability that is stated",
    ESTIMATE: "nothing is promised",
    OTHER: "exact, but of the same kernel on a torus: neither exact for the layer nor a "
    "bound on anything of it",
    UNKNOWN: "left out, or beyond every method within the limits; the reason is stated",
}

METHODS = {
    "fourier": "All singular values, from the frequencies of a block circulant operator.",
    "dense": "All singular values, by dense SVD of the operator's diagonal blocks.",
    "envelope": "Certified bounds on every singular value, from tori around the layer "
    "and the enclosed sigma_1.",
    "norm": "Certified bounds: sigma_1 between a vector and a proof, and what that, the "
    "unfolded kernel and the exact Frobenius norm say of the others.",
    "none": "No method is within the limits, or the layer is not supported.",
}

# of the bounds in an envelope, see convspec.spectral_envelope
SOURCES = {
    "trivial": "nothing",
    "compression": "a larger torus that contains it",
    "larger": "the next larger torus",
    "perturbation": "the torus of its size",
    "rows": "rows of a circulant",
    "unfolding": "the unfolded kernel",
    "frobenius": "||A||_F",
    "fourier": "Fourier",
    "krylov": "a Krylov vector",
    "given": "the enclosed sigma_1",
}

DIGITS = 10  # of exact numbers, at most
ENDS = 7  # digits of bounds
DIGITS_ABOUT = 4  # of estimates


@dataclass(frozen=True)
class Statement:
    """One number of a layer, in words and with its kind.

    Attributes:
        title: What it is called.
        value: Its digits; bounds are rounded outward.
        guarantee: One of :data:`GUARANTEES`.
        how: How sure it is, and by what.
        meaning: What it is.
    """

    title: str
    value: str
    guarantee: str
    how: str
    meaning: str


def guarantee(layer: LayerReport) -> str:
    """That of a layer's numbers: ``"exact"``, ``"enclosure"`` or ``"unknown"``."""
    return layer.known.kind


def statements(layer: LayerReport) -> list[Statement]:
    """All that is known of a layer, and what is not."""
    return [*_spectral(layer), *_of_the_weight(layer), *_beside(layer)]


def _spectral(layer: LayerReport) -> Iterator[Statement]:
    for q in (*QUANTITIES, *layer.asked):
        known = layer.quantities[q.name]
        if layer.spectrum is not None and not isinstance(known, Enclosure):
            value, how = _exact(layer.spectrum, q, known)
            yield Statement(q.title, value + _in_all(layer, q), EXACT, how, q.meaning)
            continue
        value = written(known, ENDS)
        if value == EMPTY:
            yield Statement(q.title, value, UNKNOWN, "", q.meaning)
        else:
            value += _in_all(layer, q)
            yield Statement(q.title, value, ENCLOSURE, _sources(layer, q), q.meaning)
        if q.name in layer.estimates:
            yield _estimated(q, layer.estimates[q.name])


def _in_all(layer: LayerReport, q: Quantity) -> str:
    """Behind a count: of how many."""
    return f" of {min(layer.operator.shape)}" if q.counts and layer.operator else ""


def _estimated(q: Quantity, about: Estimated) -> Statement:
    """An estimate that stands beside wide ends."""
    bias = f"; the boundary may add {number(about.bias, 2)}" if about.bias else ""
    return Statement(
        f"{q.title}, estimated",
        f"~{number(about.value, DIGITS_ABOUT)}",
        ESTIMATE,
        "mean over random frequencies of the symbol; standard error "
        f"{number(about.standard_error, 2)}{bias}",
        q.meaning,
    )


def _exact(spec: Spectrum, q: Quantity, known: Known) -> tuple[str, str]:
    """The digits that its error leaves, and that error."""
    assert known is not None
    assert not isinstance(known, Enclosure)
    within = rounded_up(float(np.max(spec.error)), 2)
    value = number(known, q.digits(spec, DIGITS))
    if q.name in (NORM, "smallest"):
        return value, f"error at most {within}, by {spec.method}"
    if q.name == "condition_number" and math.isfinite(known):
        return value, f"from sigma_1 and sigma_min, each within {within}"
    return value, f"from all singular values, each within {within}"


def _sources(layer: LayerReport, q: Quantity) -> str:
    if layer.spectrum is not None:
        error = rounded_up(float(np.max(layer.spectrum.error)), 2)
        return f"singular values are within {error}: not small beside the smallest"
    if q.name == NORM:
        assert layer.norm is not None
        return f"from below by a vector, {layer.norm.assumptions}"
    band = layer.envelope
    if q.name != "smallest" or band is None:
        return "least and most that bounds on all values and ||A||_F allow"
    below = SOURCES[band.sources[band.lower_source[-1]]]
    above = SOURCES[band.sources[band.upper_source[-1]]]
    ends = ("below", below), ("above", above)
    words = [f"from {side} by {by}" for side, by in ends if by != SOURCES["trivial"]]
    return ", ".join(words)


def _of_the_weight(layer: LayerReport) -> Iterator[Statement]:
    worst = layer.worst_case
    yield Statement(
        "Frobenius norm",
        number(layer.frobenius_norm, DIGITS),
        UNKNOWN if layer.frobenius_norm is None else EXACT,
        "" if layer.frobenius_norm is None else "from the weight, up to rounding",
        "||A||_F = sqrt(sum sigma_i^2), the check on every spectrum",
    )
    yield Statement(
        "worst case",
        EMPTY if worst is None else enclosed(worst, ENDS),
        UNKNOWN if worst is None else _named(worst.guarantee),
        "" if worst is None else f"{worst.assumptions}; {worst.reference}",
        "supremum of sigma_1 over input sizes: what may be quoted without a size",
    )


def _beside(layer: LayerReport) -> Iterator[Statement]:
    """Numbers for comparison, which are not of this operator's spectrum."""
    if layer.reshaped is not None:
        yield Statement(
            "reshaped norm",
            enclosed(layer.reshaped, ENDS),
            ENCLOSURE,
            "verified SVD of the kernel as a matrix",
            "what torch.nn.utils.spectral_norm takes for sigma_1",
        )
    if layer.norm_over_reshaped is not None:
        yield Statement(
            "sigma_1 over reshaped norm",
            enclosed(layer.norm_over_reshaped, ENDS),
            ENCLOSURE,
            "quotient of the two",
            "what spectral_norm is off by: sigma_1 once it has made the reshaped norm 1",
        )
    if layer.circular is not None:
        yield Statement(
            "circular norm",
            number(layer.circular.norm, DIGITS),
            OTHER,
            f"of the same kernel on a torus, by {layer.circular.method}",
            f"sigma_1 with circular padding, on {_torus(layer)}",
        )


def _torus(layer: LayerReport) -> str:
    assert layer.operator is not None
    return shape(layer.operator.geometry.sizes)


def _named(bound_guarantee: str) -> str:
    return ENCLOSURE if bound_guarantee == "certified" else bound_guarantee
