"""Enclosures of the largest and the least singular value over all frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.frequency.gram import gram_of
from convspec.frequency.reduced import ReducedSymbol
from convspec.frequency.search.branch_and_bound import SearchBudget, search
from convspec.frequency.search.peak import Peak
from convspec.frequency.search.rule import ProveLargest, ProveSmallest
from convspec.operators.symbol import Symbol
from convspec.rounding.scaling import ldexp, ldexp_above, ldexp_below
from convspec.rounding.svd import norm_enclosure, verified_singular_values

__all__ = ["Extreme", "enclose_largest", "enclose_smallest"]

# scalar symbols are cheap: they are enclosed to rounding, if that takes no more than
SCALAR_RTOL = 1e-15
SCALAR_EVALUATIONS = 200_000
# beyond this side a matrix's norm comes from its Gram matrix, to 1e-9 or so
SVD_SIDE = 1024


@dataclass(frozen=True)
class Extreme:
    """``lower <= extreme <= upper`` over all frequencies.

    Attributes:
        lower: Certified.
        upper: Certified.
        frequency: In radians, where the value nearest to the extreme was found.
        value: The singular value there, differentiable in the weight: ``Re u^H F v`` with
            frequency and vectors held fixed.
    """

    lower: float
    upper: float
    frequency: tuple[float, ...]
    value: Tensor


def enclose_largest(symbol: Symbol, rtol: float, budget: SearchBudget) -> Extreme:
    """Enclose ``sup_w sigma_1(F(w))`` over all groups."""
    reduced = ReducedSymbol.of(symbol)
    if reduced.dim == 0:
        return _constant(symbol, reduced, largest=True)
    peak, target = _largest(reduced, rtol, budget)
    return _extreme(symbol, reduced, peak, peak.value, target)


def enclose_smallest(
    symbol: Symbol, rtol: float, budget: SearchBudget
) -> tuple[Extreme, Extreme]:
    """Enclose ``sup sigma_1(F(w))`` and ``inf sigma_n(F(w))``, n the smaller side."""
    reduced = ReducedSymbol.of(symbol)
    if reduced.dim == 0:
        return _constant(symbol, reduced, True), _constant(symbol, reduced, False)
    peak, target = _largest(reduced, rtol, budget)
    largest = _extreme(symbol, reduced, peak, peak.value, target)
    gram = gram_of(reduced, budget.bytes)
    found = search(reduced, gram, ProveSmallest.of(gram, rtol, target), budget)
    least = found.peak
    return largest, _extreme(symbol, reduced, least, found.target, least.value)


def _largest(
    reduced: ReducedSymbol, rtol: float, budget: SearchBudget
) -> tuple[Peak, float]:
    """The best frequency and an upper bound, both of the scaled symbol."""
    gram = gram_of(reduced, budget.bytes)
    trivial = float(reduced.spread.max())
    if reduced.side == 1:
        # scalars are cheap: to rounding, unless the maximum is attained along a line
        patience = min(SCALAR_EVALUATIONS, budget.most)
        half = budget.part(0.5)
        first = SearchBudget(half, budget.bytes, budget.seconds / 2, most=patience)
        found = search(reduced, gram, ProveLargest.of(gram, SCALAR_RTOL), first)
        budget.tested(first.evaluations, gram.flops_each)
        budget.timed_out = budget.timed_out or first.timed_out
        target = min(found.target, trivial)
        if target <= found.peak.value * (1 + rtol):
            return found.peak, target
    found = search(reduced, gram, ProveLargest.of(gram, rtol), budget)
    return found.peak, min(found.target, trivial)


def _constant(symbol: Symbol, reduced: ReducedSymbol, largest: bool) -> Extreme:
    """The extreme of a symbol that no frequency changes: of a few matrices."""
    blocks = reduced.coefficients[..., 0]  # (groups, n, m)
    if largest and reduced.side > SVD_SIDE:
        lower, upper = norm_enclosure(blocks)
    else:
        lower, upper = (
            ends[:, 0 if largest else -1] for ends in verified_singular_values(blocks)
        )
    group = int(lower.argmax() if largest else lower.argmin())
    ends = (lower.max(), upper.max()) if largest else (lower.min(), upper.min())
    vectors = torch.linalg.eigh(blocks[group] @ blocks[group].mH).eigenvectors
    vector = vectors[:, -1 if largest else 0].to(torch.complex128)
    peak = Peak(0.0, group, torch.zeros(0, dtype=torch.float64), vector)
    return _extreme(symbol, reduced, peak, *map(float, ends))


def _extreme(
    symbol: Symbol, reduced: ReducedSymbol, peak: Peak, lower: float, upper: float
) -> Extreme:
    """The enclosure of the symbol itself, from that of the scaled one."""
    ends = torch.tensor([lower, upper], dtype=torch.float64)
    return Extreme(
        float(ldexp_below(ends[0], reduced.exponent)),
        float(ldexp_above(ends[1], reduced.exponent)),
        reduced.frequency(peak.turns),
        _value(symbol, reduced, peak),
    )


def _value(symbol: Symbol, reduced: ReducedSymbol, peak: Peak) -> Tensor:
    """``Re u^H F(w) v`` with u, v and w held fixed."""
    F = symbol.at([reduced.frequency(peak.turns)])[0, peak.group]
    # the scaled symbol at the same frequency: F but for its scale and a phase
    scale = ldexp(torch.view_as_real(F.detach().cpu()), -reduced.exponent)
    fixed = torch.view_as_complex(scale)
    vector = peak.vector
    v = _unit(vector.conj() if reduced.flipped else fixed.mH @ vector)
    u = _unit(fixed @ v)
    value: Tensor = (u.conj().to(F.device) @ F @ v.to(F.device)).real
    return value


def _unit(vector: Tensor) -> Tensor:
    """The vector divided by its length; a vector of zeros as it is."""
    length = torch.linalg.vector_norm(vector)
    unit: Tensor = vector / length if length > 0 else vector
    return unit
