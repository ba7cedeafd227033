"""What is known of a layer beside its norm, where its spectrum is out of reach."""

from __future__ import annotations

from dataclasses import dataclass, field

from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.report.enclose import circular, enveloped
from convspec.report.limits import Limits
from convspec.report.sums import certified_sums, grid_sums
from convspec.run.budget import Budget
from convspec.spectrum import Envelope, Spectrum

__all__ = ["Others", "other_quantities"]

# of the operations on an envelope: as many more on sums, which are decompositions of
# small blocks, too
SUMS_SHARE = 0.75
WIDE, WIDE_SPEED = 512, 3.0


@dataclass(frozen=True)
class Others:
    """What sums, an envelope and the torus of the same size say.

    Attributes:
        sums: Ends of quantities that need no single value.
        envelope: Bounds on all values, if they are within the limits.
        circular: The spectrum of the torus of this size, if that is.
        left_out: Sentences on what was left out, and why.
    """

    sums: dict[str, Enclosure] = field(default_factory=dict)
    envelope: Envelope | None = None
    circular: Spectrum | None = None
    left_out: tuple[str, ...] = ()


def other_quantities(
    op: ConvOperator, norm_upper: float, limits: Limits, budget: Budget
) -> Others:
    """All quantities but the norm.

    Args:
        op: The operator.
        norm_upper: At least its norm.
        limits: Of the analysis.
        budget: Of this row.
    """
    sums = _sums(op, norm_upper, limits)
    envelope, left_out = enveloped(op, limits, budget)
    torus = circular(op, limits) if budget.allows() else None
    return Others(sums, envelope, torus, left_out)


def _sums(op: ConvOperator, norm_upper: float, limits: Limits) -> dict[str, Enclosure]:
    """What sums over all values say: to rounding, or from a grid of the symbol."""
    flops, held = limits.envelope_flops, limits.max_bytes
    # wide blocks are decomposed in single precision, with more operations a second
    share = SUMS_SHARE * (WIDE_SPEED if min(op.weight.shape[:2]) >= WIDE else 1.0)
    return {
        **certified_sums(op, flops, held),
        **grid_sums(op, norm_upper, share * flops, held),
    }
