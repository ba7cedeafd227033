"""The random rules behind a density: what they hold, their scatter, their control."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from convspec.arrays import FloatArray
from convspec.errors import NotApplicable
from convspec.isolation import isolated_class
from convspec.quantity.estimate import Estimate, less_control, standard_error
from convspec.spectrum.density.rules import share_errors, shares_from, step_shares

__all__ = ["Sample"]

Sampled = TypeVar("Sampled", bound="Sample")

# fewer probes do not tell the slope of the control variate from noise
LEAST_CONTROLLED = 8


@isolated_class
@dataclass(frozen=True, eq=False)
class Sample:
    """Rules of nodes and weights, one per probe; see :class:`Density`.

    Attributes:
        nodes: Descending in each row, (probes, steps).
        weights: Not negative, of sum 1 in each row, (probes, steps).
        radau_nodes: Of the Gauss-Radau rules with a node at 0, which bound the error of
            the Gauss rules; the nodes themselves where those are exact.
        radau_weights: Like ``radau_nodes``.
        shape: (m, n) of the operator.
        method: ``"lanczos"``, or ``"symbol"`` for the limit of large inputs.
        exact_frobenius_norm: ``||A||_F`` of the operator, not from the nodes.
        boundary_fraction: Bound on ``|N_A(t) - N_C(t)| / min(m, n)``, t > 0, where N
            counts values from t up and C is the torus of A's size: boundary / volume.
        seed: Of the probes; None for the symbol.
        controlled: Whether estimates use the control variate.
        eps: Machine epsilon of the arithmetic used.
    """

    nodes: FloatArray
    weights: FloatArray
    radau_nodes: FloatArray
    radau_weights: FloatArray
    shape: tuple[int, int]
    method: str
    exact_frobenius_norm: float
    boundary_fraction: float
    seed: int | None = None
    controlled: bool = False
    eps: float = float(np.finfo(np.float64).eps)

    # -- what it holds ----------------------------------------------------------------

    @property
    def count(self) -> int:
        """The number of singular values, min(m, n)."""
        return min(self.shape)

    @property
    def probes(self) -> int:
        """The number of rows."""
        return len(self.nodes)

    @property
    def largest_node(self) -> float:
        """``sigma_1`` from below, to rounding; for a symbol its largest on the grid."""
        return float(self.nodes[:, 0].max())

    @property
    def node_distance(self) -> float:
        """The usual distance of nodes where it is widest, ``pi sigma_1 / (2 steps)``.

        Gauss nodes of k steps lie about at ``sigma_1 cos(pi j / (2 k))``: what is
        narrower they cannot show. For a symbol as if it had 60 steps.
        """
        return math.pi * (self.largest_node or 1.0) / (2 * self._resolving_steps)

    @property
    def check(self) -> float:
        """The second moment's z-score, ``(estimate - ||A||_F^2) / standard error``.

        Within 3 for nearly all seeds; the control variate has no part in it. 0 where the
        two agree to rounding.

        Raises:
            NotApplicable: For a symbol, which is another operator's.
        """
        self._require_probes("check")
        excess = self._second_excess
        mean, error = float(excess.mean()), float(standard_error(excess))
        if abs(mean) <= self._rounding:
            return 0.0
        return mean / error if error > 0 else math.copysign(math.inf, mean)

    def with_control(self: Sampled, controlled: bool = True) -> Sampled:
        """The same density, read with or without the control variate.

        Raises:
            NotApplicable: For a symbol, which samples nothing.
        """
        if controlled:
            self._require_probes("with_control")
        return replace(self, controlled=controlled)

    # -- sums and shares of each rule --------------------------------------------------

    @property
    def _rounding(self) -> float:
        """The size, relative to the largest node, up to which a node is rounding."""
        return 64 * self.eps

    @property
    def _resolving_steps(self) -> int:
        return 60 if self.method == "symbol" else self.nodes.shape[1]

    @cached_property
    def _exact(self) -> npt.NDArray[np.bool_]:
        """Which rules are the measures of their probes exactly; (probes,)."""
        same = self.nodes == self.radau_nodes
        exact: npt.NDArray[np.bool_] = same.all(axis=1)
        return exact

    def _power_sum(self, p: float) -> Estimate[float]:
        """``sum (sigma_i / largest node)^p``."""
        if not 0 < p < math.inf:
            raise ValueError(
                f"p must be positive and finite; got {p}; for inf see largest_node"
            )
        sums = self._sums(lambda x: x**p)
        radau = self._sums(lambda x: x**p, radau=True)
        values = self._controlled(sums)
        bound = abs(float((sums - radau).mean()))
        if bound <= self._rounding * abs(float(sums.mean())):
            bound = 0.0
        return Estimate(float(values.mean()), float(standard_error(values)), bound)

    def _sums(
        self, function: Callable[[FloatArray], FloatArray], *, radau: bool = False
    ) -> FloatArray:
        """``min(m, n) sum_j w_j f(x_j / largest node)`` of each probe; (probes,)."""
        nodes = self.radau_nodes if radau else self.nodes
        weights = self.radau_weights if radau else self.weights
        # over the largest node no power overflows; all are 0 where that one is
        values = function(nodes / (self.largest_node or 1.0))
        sums: FloatArray = self.count * (weights * values).sum(axis=1)
        return sums

    @property
    def _second_sum(self) -> float:
        """``sum (sigma_i / largest node)^2``: the operator's exact one, or a symbol's."""
        if self.method == "symbol":
            return float(self._sums(lambda x: x**2).mean())
        return (self.exact_frobenius_norm / self.largest_node) ** 2

    @cached_property
    def _second_excess(self) -> FloatArray:
        """Relative errors of the probes' second moments, of mean 0; (probes,)."""
        if self.largest_node == 0 and self.exact_frobenius_norm == 0:
            return np.zeros(self.probes)
        excess: FloatArray = self._sums(lambda x: x**2) / self._second_sum - 1.0
        return excess

    def _controlled(self, sums: FloatArray) -> FloatArray:
        """The probes' values, (probes, ...), less what their second moments explain."""
        if not self.controlled or self.probes < LEAST_CONTROLLED:
            return sums
        if np.abs(self._second_excess).max() <= self._rounding:  # nothing to explain
            return sums
        values = sums.reshape(self.probes, -1)
        return less_control(values, self._second_excess).reshape(sums.shape)

    def _curve(
        self, sums: FloatArray, shape: tuple[int, ...], bound: FloatArray | None
    ) -> Estimate[FloatArray]:
        """Estimates shaped ``shape`` from (probes, points)."""
        sums = self._controlled(sums)
        return Estimate(
            np.asarray(sums.mean(axis=0)).reshape(shape),
            standard_error(sums).reshape(shape),
            None if bound is None else bound.reshape(shape),
        )

    def _shares_from(self, thresholds: FloatArray) -> FloatArray:
        """Each rule's share from the thresholds up; (probes, t)."""
        # a value that equals t counts although its node is rounded
        cuts = thresholds - self._rounding * self.largest_node
        return np.array(
            [
                (step_shares if exact else shares_from)(x, w, cuts)
                for x, w, exact in zip(self.nodes, self.weights, self._exact, strict=True)
            ]
        )

    def _share_errors(self, thresholds: FloatArray) -> FloatArray:
        """Bound on the mean of the rules' errors; (t,)."""
        total = np.zeros(thresholds.shape)
        for row in np.flatnonzero(~self._exact):
            total += share_errors(self.nodes[row], self.weights[row], thresholds)
        return total / self.probes

    def _require_probes(self, name: str) -> None:
        if self.method == "symbol":
            raise NotApplicable(
                f"{name} needs random probes; this is the symbol's density, the limit of "
                "large inputs; call spectral_density(op)",
                name,
            )
