"""What an analysis may spend on each layer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits per layer.

    Attributes:
        max_flops: Operations on a spectrum, on Krylov or on an envelope.
        max_bytes: Bytes held at a time.
        phases: Phase shifts of each torus of an envelope.
        envelope_flops: Operations on an envelope.
        worst_case_seconds: Wall time of the search for the worst case.
    """

    max_flops: float
    max_bytes: int
    phases: int
    envelope_flops: float
    worst_case_seconds: float
