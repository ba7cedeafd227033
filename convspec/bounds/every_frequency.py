"""What the searches over all frequencies share: budget, memory, the result."""

from __future__ import annotations

from convspec.arguments import shown, single
from convspec.bounds.result import WorstCase
from convspec.frequency.reduced import symbol_bytes
from convspec.frequency.search.branch_and_bound import SearchBudget
from convspec.frequency.search.extremes import Extreme
from convspec.limits import require_bytes
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure

__all__ = [
    "MAX_EVALUATIONS",
    "MAX_FLOPS",
    "REFERENCE",
    "as_worst_case",
    "require_symbol",
    "search_budget",
]

MAX_EVALUATIONS = 2_000_000
# about a minute on two cores
MAX_FLOPS = 3e12
REFERENCE = (
    "branch and bound with Bernstein's inequality (Duffin and Schaeffer 1938) and "
    "Cholesky tests (Rump 2006)"
)


def search_budget(
    rtol: float,
    max_flops: float,
    max_evaluations: float,
    max_seconds: float,
    max_bytes: int,
) -> SearchBudget:
    """The budget of a search over all frequencies, its limits and rtol checked."""
    single("rtol", rtol)
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1; got {shown(rtol)}")
    for name, value in (
        ("max_flops", max_flops),
        ("max_evaluations", max_evaluations),
        ("max_seconds", max_seconds),
    ):
        if not value > 0:
            raise ValueError(
                f"{name} must be positive; got {shown(value)}; inf is no limit"
            )
    return SearchBudget(max_flops, max_bytes, max_seconds, most=max_evaluations)


def require_symbol(op: ConvOperator, max_bytes: int) -> None:
    """Refuse kernels whose symbol alone is too large."""
    needed = symbol_bytes(op.weight)
    instead = "take a kernel of fewer channels"
    require_bytes("the symbol of the kernel", needed, max_bytes, instead)


def as_worst_case(
    extreme: Extreme,
    name: str,
    assumptions: str,
    rtol: float,
    budget: SearchBudget,
    lower: float,
    upper: float,
) -> WorstCase:
    """An extreme of the symbol as a result between two ends, with what was searched."""
    return WorstCase(
        lower,
        upper,
        name,
        assumptions,
        REFERENCE,
        value=extreme.value,
        frequency=extreme.frequency,
        rtol=rtol,
        evaluations=budget.evaluations,
        supremum_gap=Enclosure(extreme.lower, extreme.upper).gap,
        short_of=budget.short_of,
    )
