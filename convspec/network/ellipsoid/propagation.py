"""An ellipsoid carried from a network's input to its outputs, time and again."""

from __future__ import annotations

from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.passage import Passage
from convspec.network.ellipsoid.setting import Setting

__all__ = ["Propagation"]


class Propagation(Setting):
    """Carries ellipsoids through a network."""

    def run(self, multipliers: Multipliers, proven: bool = False) -> Group:
        """The group of the outputs.

        Args:
            multipliers: What the rules are given.
            proven: Whether rounding is accounted for.

        Raises:
            Infeasible: If a multiplier does not serve.
            TooLong: If it is given up.
        """
        self.work.clear()
        return Passage(self, multipliers, proven).outcome()
