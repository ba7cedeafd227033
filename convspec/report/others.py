"""What is known of a layer beside its norm, where its spectrum is out of reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from convspec.arrays import FloatArray
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.report.enclose import Shared, circular, enveloped, joined_envelope
from convspec.report.limits import Limits
from convspec.report.sums import certified_sums, grid_sums
from convspec.run.budget import Budget
from convspec.spectrum import Envelope, Spectrum

__all__ = ["Others", "by_envelope", "by_shares", "by_sums", "by_torus"]

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

    @classmethod
    def joined(cls, parts: Iterable[Others]) -> Others:
        """What several say, each of other things."""
        whole = cls()
        for part in parts:
            whole = cls(
                {**whole.sums, **part.sums},
                whole.envelope or part.envelope,
                whole.circular or part.circular,
                (*whole.left_out, *part.left_out),
            )
        return whole


def by_sums(op: ConvOperator, norm_upper: float, limits: Limits) -> Others:
    """What sums over all values say: to rounding, or from a grid of the symbol.

    Args:
        op: The operator.
        norm_upper: At least its norm.
        limits: Of the analysis.
    """
    flops, held = limits.envelope_flops, limits.max_bytes
    # wide blocks are decomposed in single precision, with more operations a second
    share = SUMS_SHARE * (WIDE_SPEED if min(op.weight.shape[:2]) >= WIDE else 1.0)
    certified = certified_sums(op, flops, held)
    return Others({**certified, **grid_sums(op, norm_upper, share * flops, held)})


def by_envelope(op: ConvOperator, limits: Limits, budget: Budget) -> Others | Shared:
    """Bounds on all singular values, within the budget of the row."""
    found = enveloped(op, limits, budget)
    return found if isinstance(found, Shared) else _of_envelope(*found)


def by_shares(
    op: ConvOperator, limits: Limits, budget: Budget, values: Sequence[FloatArray]
) -> Others:
    """The same where they are decomposed in shares."""
    return _of_envelope(*joined_envelope(op, limits, budget, values))


def _of_envelope(envelope: Envelope | None, left_out: tuple[str, ...]) -> Others:
    return Others(envelope=envelope, left_out=left_out)


def by_torus(op: ConvOperator, limits: Limits, budget: Budget) -> Others | Shared:
    """The spectrum of the torus of the same size, if there are operations and time."""
    found = circular(op, limits, budget)
    return found if isinstance(found, Shared) else Others(circular=found)
