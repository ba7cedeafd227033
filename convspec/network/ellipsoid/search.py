"""The search for multipliers: a first valid choice, then descent on a coarse torus.

Whatever is found serves on the exact torus, since multipliers there are scaled above its
ellipsoids again; the descent only has to find good proportions between channels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import torch

from convspec.network.ellipsoid.descent import descended
from convspec.network.ellipsoid.layout import NAME
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.proof import Proven, estimate, prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.ellipsoid.setting import TooLong
from convspec.network.ellipsoid.tori import Tori

__all__ = ["Search"]

RATE, FINER_RATE = 0.1, 0.03
# the last proof is left so many times the first's seconds
SPARE = 1.6
# a first passage is given up if it takes so many times the seconds there are, and so many
# seconds; and what a proven one takes of a plain one
PATIENCE, LEAST_PATIENCE, PROOF = 3.0, 5.0, 1.2
# powers of variances that are tried as proportions, while a passage takes less than this
# share of the time
TILTS, TILTED = (0.5, 0.75, 0.25, 0.0), 0.02
# where a descent begins at most: from larger ones it ends in numbers that frequencies
# between those of its torus do not bear as well
SEARCHED_TILT = 0.25
# what is found on a torus may fit its frequencies alone: a share of the time goes to one
# of twice the size
FINER_SHARE = 0.5


@dataclass
class Search:
    """Finds multipliers for a network.

    Attributes:
        tori: The network, on its own torus and on smaller ones.
        log: Logarithms of the bounds of the search, in order.
        proof: Seconds of the first proof.
        passage: Seconds of the last passage before it.
        tilt: Of the best multipliers before the descent.
    """

    tori: Tori
    log: list[float] = field(default_factory=list)
    proof: float = 0.0
    passage: float = 0.0
    tilt: float = 0.0

    def run(
        self, seconds: float, told: Callable[[float, Proven, Multipliers], None]
    ) -> None:
        """Search for so long, and tell of each proven bound as it is there.

        Args:
            seconds: About.
            told: Given the seconds so far, a bound and its multipliers.

        Raises:
            Infeasible: If there is no proof.
            TooLong: If already the first one takes far more seconds.
        """
        begun = time.perf_counter()
        tori, exact = self.tori, self.tori.exact()
        coarse = tori.on(tori.least()) or exact
        coarse.until = begun + max(LEAST_PATIENCE, PATIENCE * seconds)
        told(*self._first(exact, coarse, begun))
        coarse.until = math.inf
        until = begun + seconds - SPARE * self.proof
        if time.perf_counter() >= until:
            return
        coarse = tori.largest(exact, coarse, until - time.perf_counter())
        left = until - time.perf_counter()
        finer = tori.finer(exact, coarse, FINER_SHARE * left)
        share = 1 - FINER_SHARE if finer else 1
        better = self._descended(coarse, share * left)
        if better is not None and finer is not None:
            left = until - time.perf_counter()
            better = self._descended(finer, left, better)
        if better is not None:
            told(*self._last(exact, better, begun))

    def _first(
        self, exact: Propagation, coarse: Propagation, begun: float
    ) -> tuple[float, Proven, Multipliers]:
        """A bound by first multipliers: twice as large as the ellipsoid asks."""
        multipliers = self._begun(coarse, begun)
        passed = time.perf_counter() - begun
        ahead = PROOF * coarse.seconds_on(exact, self.passage)
        if begun + passed + ahead > coarse.until:
            raise TooLong(
                f"a passage on its torus takes about {ahead:.0f} s; give that many "
                "seconds, or a smaller image",
                NAME,
            )
        now = time.perf_counter()
        found = prove(exact, multipliers)
        self.proof = time.perf_counter() - now
        return time.perf_counter() - begun, found, multipliers.as_fixed()

    def _begun(self, coarse: Propagation, begun: float) -> Multipliers:
        """Proportions by the best of some tilts, as far as there is time.

        Args:
            coarse: On the least torus.
            begun: When the search was.

        Raises:
            Infeasible: If none of them serves.
        """
        best, found = math.inf, None
        for tilt in TILTS:
            now = time.perf_counter()
            multipliers = Multipliers(self.tori.norms, tilt=tilt)
            with torch.no_grad(), suppress(Infeasible):
                reached = float(estimate(coarse.run(multipliers)))
                if found is None or reached < best:
                    best, found, self.tilt = reached, multipliers, tilt
            self.passage = time.perf_counter() - now
            if self.passage > TILTED * (coarse.until - begun):
                break
        if found is None:
            raise Infeasible
        found.start_again()
        return found

    def _last(
        self, exact: Propagation, better: Multipliers, begun: float
    ) -> tuple[float, Proven, Multipliers]:
        """A bound by the proportions and margins found, scaled on the exact torus."""
        better.start_again()
        found = prove(exact, better)
        return time.perf_counter() - begun, found, better.as_fixed()

    def _descended(
        self, coarse: Propagation, seconds: float, before: Multipliers | None = None
    ) -> Multipliers | None:
        """Multipliers by descent, the best of all steps; None if there was none.

        Steps are made on a torus and between its frequencies by turns.

        Args:
            coarse: Where.
            seconds: How long.
            before: What was found on a smaller torus.
        """
        turns = self.tori.turns(coarse)
        if before is not None:
            return descended(
                before.copied(), turns, FINER_RATE, seconds, self.log, found=True
            )
        first = Multipliers(self.tori.norms, tilt=min(self.tilt, SEARCHED_TILT))
        return descended(first, turns, RATE, seconds, self.log, found=False)
