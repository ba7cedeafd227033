"""Where a search ascends from, and how far: peaks found on the way, the best first.

Nothing here is part of a proof. First ascents are for an overview and end soon; what
they find has certified values all the same, see :mod:`convspec.frequency.search.peak`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.frequency.reduced import ReducedSymbol
from convspec.frequency.search.cells import Cells
from convspec.frequency.search.peak import MAX_STEPS, Peak, climb
from convspec.frequency.search.rule import Rule
from convspec.run.threads import parallel_map

__all__ = ["ascend", "refined", "worth"]

# from this side on ascents go on several threads
THREAD_SIDE = 48
# so many ascents at the start
CLIMBS = 2
# how near to a maximum first ascents go, relative to its square, as a share of rtol
ROUGH_SHARE = 0.03
ROUGHEST, LEAST_ROUGH = 1e-4, 1e-6
ROUGH_STEPS = 12
NOTHING = torch.empty(0, dtype=torch.float64, device="cpu")


def worth(rule: Rule, cells: Cells, squares: Tensor, peaks: list[Peak]) -> list[int]:
    """The cells worth an ascent.

    Some at first; later the best of those whose centre beats the best value, and of those
    that can be left for no other reason.
    """
    if not peaks:
        return _spread(rule, cells, squares)
    best, value = int(rule.order(squares)[0]), peaks[0].value
    promising = rule.better(float(squares[best]), value**2)
    return [best] if promising or rule.must_improve(value, cells.reach) else []


def _spread(rule: Rule, cells: Cells, squares: Tensor) -> list[int]:
    """The places of the best cells to climb from, none next to another."""
    places: list[int] = []
    span = max(cells.spans)
    far = torch.ones(len(cells), dtype=torch.bool)
    for place in rule.order(squares).tolist():
        if far[place]:
            places.append(place)
            here = Peak(0.0, int(cells.groups[place]), cells.centres[place], NOTHING)
            far &= (cells.groups != here.group) | (here.away(cells.centres) > 2 * span)
        if len(places) == CLIMBS:
            break
    return places


def ascend(
    symbol: ReducedSymbol,
    rule: Rule,
    cells: Cells,
    places: list[int],
    peaks: list[Peak],
) -> None:
    """Ascend from some cells; the peaks found are added, the best comes first.

    The first ascents are for an overview, and end soon.
    """
    rough, steps = _rough(rule), MAX_STEPS if peaks else ROUGH_STEPS

    def climbed(place: int) -> Peak:
        group, turns = int(cells.groups[place]), cells.centres[place]
        return climb(
            symbol,
            group,
            turns,
            largest=rule.largest,
            promise=rough,
            steps=steps,
        )

    found = parallel_map(climbed, places, None if symbol.side >= THREAD_SIDE else 1)
    for peak in found:
        if _exact(rule) and _close(rule, peak, peaks, rough):
            peak = refined(symbol, rule, peak)
        peaks.append(peak)
        peaks.sort(key=lambda peak: peak.value, reverse=rule.largest)


def _rough(rule: Rule) -> float:
    """How near to an extreme the first ascents end, relative to its square."""
    if not rule.largest:
        return LEAST_ROUGH
    return min(max(ROUGH_SHARE * rule.rtol, LEAST_ROUGH), ROUGHEST)


def _exact(rule: Rule) -> bool:
    """Whether a rough value is too far from the extreme for the gap that is asked."""
    return not rule.largest or _rough(rule) > ROUGH_SHARE * rule.rtol


def _close(rule: Rule, peak: Peak, peaks: list[Peak], rough: float) -> bool:
    """Whether a peak may be better than the best one, if it is refined."""
    if not peaks or rule.better(peak.value, peaks[0].value):
        return True
    margin = 1 + rough if rule.largest else 1 - rough
    same = peak.group == peaks[0].group and bool((peak.turns == peaks[0].turns).all())
    return not same and rule.better(margin * peak.value, peaks[0].value)


def refined(symbol: ReducedSymbol, rule: Rule, peak: Peak) -> Peak:
    """The peak that a rough ascent ended next to."""
    fine = climb(symbol, peak.group, peak.turns, largest=rule.largest, near=peak.vector)
    return fine if rule.better(fine.value, peak.value) else peak
