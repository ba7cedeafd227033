"""What an analysis may spend on each layer."""

from __future__ import annotations

from dataclasses import dataclass

from convspec.arguments import integer, shown

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits per layer.

    Attributes:
        max_flops: Operations on a spectrum, on Krylov or on an envelope.
        max_bytes: Bytes held at a time.
        phases: Phase shifts of each torus of an envelope.
        envelope_flops: Operations on an envelope.
        worst_case_flops: Operations on the search for the worst case.
        worst_case_seconds: Wall time of that search; None for no limit.

    Raises:
        ValueError: If one is not a number of at least 0, or phases no integer.
    """

    max_flops: float
    max_bytes: int
    phases: int
    envelope_flops: float
    worst_case_flops: float
    worst_case_seconds: float | None

    def __post_init__(self) -> None:
        if self.worst_case_seconds is not None and not self.worst_case_seconds >= 0:
            raise ValueError(
                "worst_case_seconds must be at least 0, which leaves the worst case out; "
                f"got {shown(self.worst_case_seconds)}"
            )
        for name in ("max_flops", "max_bytes", "envelope_flops", "worst_case_flops"):
            limit = getattr(self, name)
            if not limit >= 0:
                raise ValueError(
                    f"{name} must be at least 0; got {shown(limit)}; inf is no limit"
                )
        object.__setattr__(self, "phases", integer("phases", self.phases, 0))
