"""What an analysis may spend: how hard to try, and the limits behind that."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convspec.arguments import integer, shown

__all__ = ["EFFORTS", "Effort", "Limits"]


@dataclass(frozen=True)
class Effort:
    """The limits that a word stands for; those of one layer, about.

    Attributes:
        rtol: Relative gap of sigma_1 to stop at.
        max_flops: Operations on an exact spectrum, above which it is left out.
        norm_flops: Operations on sigma_1; what cheap layers leave, dear ones may take.
        envelope_flops: Operations on an envelope.
        worst_case_flops: Operations on the search for the worst case.
        phases: Phase shifts of each torus of an envelope.
    """

    rtol: float
    max_flops: float
    norm_flops: float
    envelope_flops: float
    worst_case_flops: float
    phases: int


EFFORTS = {
    "quick": Effort(1e-2, 1e10, 1e10, 2e9, 1e10, 1),
    "default": Effort(1e-4, 1e11, 2e11, 2e10, 5e10, 1),
    "thorough": Effort(1e-6, 1e13, 1e13, 1e12, 3e12, 16),
}


@dataclass(frozen=True)
class Limits:
    """Limits of an analysis, per layer but for the seconds; None for what effort says.

    Attributes:
        effort: One of :data:`EFFORTS`.
        seconds: Wall time of the whole analysis, about; None for no limit.
        max_bytes: Bytes held at a time.
        max_flops: As in :class:`Effort`, and so are the others.
        norm_flops: Operations on sigma_1.
        envelope_flops: Operations on an envelope.
        worst_case_flops: Operations on the search for the worst case.
        worst_case_seconds: Wall time of that search; None for no limit.
        phases: Phase shifts of each torus of an envelope.

    Raises:
        ValueError: If one is not a number of at least 0, phases no integer, or effort
            none of the words.
    """

    effort: str
    seconds: float | None
    max_bytes: int
    max_flops: float
    norm_flops: float
    envelope_flops: float
    worst_case_flops: float
    worst_case_seconds: float | None
    phases: int

    @classmethod
    def of(
        cls,
        effort: str,
        *,
        seconds: float | None = None,
        max_bytes: int,
        max_flops: float | None = None,
        norm_flops: float | None = None,
        envelope_flops: float | None = None,
        worst_case_flops: float | None = None,
        worst_case_seconds: float | None = None,
        phases: int | None = None,
    ) -> Limits:
        """The limits that were given, and else those of the effort."""
        if effort not in EFFORTS:
            names = ", ".join(map(repr, EFFORTS))
            raise ValueError(f"effort must be one of {names}; got {shown(effort)}")
        usual = EFFORTS[effort]

        def given(name: str, value: float | None) -> float:
            limit: float = getattr(usual, name) if value is None else value
            if not limit >= 0:
                raise ValueError(
                    f"{name} must be at least 0; got {shown(limit)}; inf is no limit"
                )
            return limit

        if worst_case_seconds is not None and not worst_case_seconds >= 0:
            raise ValueError(
                "worst_case_seconds must be at least 0, which leaves the worst case out; "
                f"got {shown(worst_case_seconds)}"
            )
        if seconds is not None and not seconds > 0:
            raise ValueError(
                f"seconds must be positive; got {shown(seconds)}; None is no limit"
            )
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0; got {shown(max_bytes)}")
        return cls(
            effort,
            seconds,
            max_bytes,
            given("max_flops", max_flops),
            given("norm_flops", norm_flops),
            given("envelope_flops", envelope_flops),
            given("worst_case_flops", worst_case_flops),
            worst_case_seconds,
            integer("phases", usual.phases if phases is None else phases, 0),
        )

    @property
    def rtol(self) -> float:
        """Relative gap of sigma_1 to stop at."""
        return EFFORTS[self.effort].rtol

    @property
    def time(self) -> float:
        """Seconds of the whole analysis; inf for no limit."""
        return math.inf if self.seconds is None else self.seconds
