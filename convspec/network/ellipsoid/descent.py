"""Descent on multipliers: steps of Adam on some tori by turns."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence

import torch

from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.proof import estimate
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.root import Infeasible

__all__ = ["descended"]

LEAST_RATE = 1e-3
MOST_STEPS = 400
# a step that ends so much above the best, in logarithms, is taken back
LEAP = 3.0


def descended(
    begun_with: Multipliers,
    turns: Sequence[Propagation],
    rate: float,
    seconds: float,
    log: list[float],
    found: bool,
) -> Multipliers | None:
    """Multipliers by Adam, the best of all steps; None if there was none.

    Steps are judged by the worst of all turns, so that what fits the frequencies of some
    tori alone is not kept.

    Args:
        begun_with: Where it begins; changed.
        turns: The network on the tori, the first the one that judges the beginning.
        rate: Of the first step.
        seconds: How long.
        log: Logarithms of the bounds of all steps are added to it.
        found: Whether the beginning is kept until a step is better.
    """
    begun, multipliers, recent = time.perf_counter(), begun_with, deque[float]()
    kept = begun_with.copied() if found else None
    with torch.no_grad():
        best = float(estimate(turns[0].run(multipliers)))
    if not multipliers.searched:
        return None
    optimiser = torch.optim.Adam(multipliers.searched, lr=rate)
    for step in range(MOST_STEPS):
        passed = (time.perf_counter() - begun) / seconds
        if passed >= 1:
            break
        share = max(passed, step / MOST_STEPS)
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - share) + LEAST_RATE
        optimiser.zero_grad()
        try:
            value = estimate(turns[step % len(turns)].run(multipliers))
        except Infeasible:
            value = torch.tensor(math.nan, dtype=torch.float64, device="cpu")
        reached = float(value.detach())
        if not math.isfinite(reached) or reached > best + LEAP:
            rate /= 2
            if kept is not None:
                multipliers.take(kept)
            optimiser = torch.optim.Adam(multipliers.searched, lr=rate)
            recent.clear()
            continue
        log.append(reached)
        recent.append(reached)
        if len(recent) > len(turns):
            recent.popleft()
        worst = max(recent)
        if kept is None or (len(recent) == len(turns) and worst < best):
            best = min(best, worst)
            kept = multipliers.copied()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return kept
