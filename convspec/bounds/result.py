"""What the bounds over all input sizes return."""

from __future__ import annotations

from dataclasses import dataclass, field

from convspec.isolation import isolated_class
from convspec.quantity.bound import Bound

__all__ = ["Conditioning", "WorstCase"]


@isolated_class
@dataclass(frozen=True, repr=False)
class WorstCase(Bound):
    """An enclosure of an extreme over all frequencies, with how it was reached.

    Attributes:
        frequency: Where the best value was found, in radians per axis, of the
            layer's symbol, :meth:`convspec.ConvOperator.symbol`.
        rtol: The relative gap that was asked for.
        evaluations: Frequencies at which the symbol was tested.
        supremum_gap: The relative gap that was reached, without the padding's factor.
        short_of: What the search ran out of, if it did: ``"operations"``,
            ``"evaluations"``, ``"seconds"`` or ``"memory"``.
    """

    frequency: tuple[float, ...] = field(default=(), compare=False)
    rtol: float = field(default=0.0, compare=False)
    evaluations: int = field(default=0, compare=False)
    supremum_gap: float = field(default=0.0, compare=False)
    short_of: str = field(default="", compare=False)

    @property
    def converged(self) -> bool:
        """Whether the supremum is enclosed as tightly as was asked for."""
        return self.supremum_gap <= self.rtol


@isolated_class
@dataclass(frozen=True)
class Conditioning:
    """Extremes of the symbol's singular values over all frequencies.

    Attributes:
        largest: Encloses ``sup sigma_1(F(w))``.
        smallest: Encloses ``inf sigma_n(F(w))``, n the smaller side of F.
        condition_number: Encloses their ratio; up to inf.
    """

    largest: WorstCase
    smallest: WorstCase
    condition_number: Bound
