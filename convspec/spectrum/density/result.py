"""A singular-value distribution as weighted nodes, and what it says, with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convspec.arguments import shown
from convspec.arrays import FloatArray
from convspec.isolation import isolated_class
from convspec.quantity.estimate import Estimate, standard_error
from convspec.spectrum.density.rules import blurred
from convspec.spectrum.density.sample import Sample

__all__ = ["Density"]


@isolated_class
@dataclass(frozen=True, eq=False)
class Density(Sample):
    """The distribution of min(m, n) singular values: ``min(m, n) sum_j w_j delta(x_j)``.

    From :func:`spectral_density` each row is the Gauss rule of one random probe: the
    mean over rows estimates sums over all singular values, the scatter of the rows gives
    the standard error. From :func:`symbol_density` there is one row: the limit of large
    inputs, another operator's, with nothing random.

    With ``controlled`` the known ``sum sigma_i^2 = ||A||_F^2`` serves as control variate:
    from each probe's value its regression on the probe's own second moment is
    subtracted, with the slope of the other probes, so that the estimate stays unbiased.
    The variance falls by the share that the second moment explains. Used from 8 probes
    on. The data are the attributes of :class:`Sample`.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 500, padding=1)
        >>> fourth = cs.spectral_density(op, steps=30).moment(4)
        >>> exact = 70 * 500 - 58  # the trace of the fourth power of the matrix
        >>> abs(fourth.value - exact) < 4 * fourth.standard_error
        True
    """

    # -- sums -------------------------------------------------------------------------

    def moment(self, p: float) -> Estimate[float]:
        """``sum_i sigma_i^p`` over all min(m, n) values, p > 0.

        For even p up to ``4 steps - 2`` the rules are exact and sampling is the only
        error. For other p Gauss and Radau rules enclose each probe's value; for p < 2
        the Gauss rule is the upper one.

        Raises:
            ValueError: If p is not positive and finite.
        """
        total = self._power_sum(p)
        with np.errstate(over="ignore"):
            return _scaled(total, float(np.float64(self.largest_node) ** p))

    def schatten(self, p: float) -> Estimate[float]:
        """The Schatten norm ``(sum sigma_i^p)^(1/p)``, p > 0; errors to first order.

        Raises:
            ValueError: If p is not positive and finite.
        """
        total = self._power_sum(p)
        if not total.value > 0:
            return Estimate(0.0, 0.0, 0.0)
        with np.errstate(over="ignore"):  # in logarithms, so that no power overflows
            log = math.log(self.largest_node) + math.log(total.value) / p
            return _relative_to(float(np.exp(log)), total, p * total.value)

    @property
    def nuclear_norm(self) -> Estimate[float]:
        """``sum_i sigma_i``."""
        return self.moment(1.0)

    @property
    def frobenius_norm(self) -> Estimate[float]:
        """``sqrt(sum_i sigma_i^2)``, estimated; see ``exact_frobenius_norm``."""
        return self.schatten(2.0)

    @property
    def participation_ratio(self) -> Estimate[float]:
        """``(sum sigma_i^2)^2 / sum sigma_i^4``; 0 for the zero operator.

        With the exact numerator (the symbol's own for a symbol). Errors to first order.
        """
        fourth = self._power_sum(4.0)
        if not fourth.value > 0:
            return Estimate(0.0, 0.0, 0.0)
        return _relative_to(self._second_sum**2 / fourth.value, fourth, fourth.value)

    @property
    def effective_rank(self) -> Estimate[float]:
        """``exp(-sum p_i ln p_i)``, ``p_i = sigma_i / sum sigma``; 0 for zero.

        The standard error is to first order in both sums, whose errors are correlated.
        The quadrature's error has no bound here.

        Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.
        """
        plain = self._sums(lambda x: x)
        entropic = self._sums(lambda x: x * np.log(np.where(x > 0, x, 1.0)))
        total, logs = self._controlled(plain).mean(), self._controlled(entropic).mean()
        if not total > 0:
            return Estimate(0.0, 0.0, 0.0)
        rank = math.exp(math.log(total) - logs / total)
        # d ln rank = ((1 + logs / total) d total - d logs) / total
        change = self._controlled((1 + logs / total) * plain - entropic)
        return Estimate(rank, rank * float(standard_error(change)) / float(total))

    # -- curves -----------------------------------------------------------------------

    def counting(self, t: npt.ArrayLike) -> Estimate[FloatArray]:
        """How many singular values are at least t; arrays shaped like t.

        Linear between the nodes, with half of a node's weight on either side; a rule
        that is exact (an operator of few distinct values, a symbol) counts in steps, up
        to rounding. The quadrature's error is bounded, by the weights of the two nodes
        around t (Chebyshev, Markov and Stieltjes); for smooth distributions it is far
        smaller.

        Raises:
            ValueError: If t holds NaN.
        """
        thresholds = np.asarray(t, dtype=np.float64)
        if np.isnan(thresholds).any():
            raise ValueError(f"t must hold no NaN; got {shown(t)}; leave it out")
        flat = thresholds.ravel()
        return self._curve(
            self.count * self._shares_from(flat),
            thresholds.shape,
            self.count * self._share_errors(flat),
        )

    def quantile(self, q: npt.ArrayLike) -> Estimate[FloatArray]:
        """The value below which a share q of the singular values lies; shaped like q.

        The counting function at the nodes, made monotone and inverted linearly. Errors
        are half of the distance between the quantiles that lie one error of the
        counting function below and above.

        Raises:
            ValueError: If q is not within [0, 1].
        """
        shares = np.asarray(q, dtype=np.float64)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(
                f"q must be within [0, 1]; got {shown(q)}; give shares, not %"
            )
        points = np.unique(self.nodes[self.weights > 0])
        slack = 2 * self._rounding * self.largest_node
        counts = self.counting(points).value + self.counting(points + slack).value
        below = np.maximum.accumulate(np.clip(1 - counts / (2 * self.count), 0.0, 1.0))

        def inverse(share: FloatArray) -> FloatArray:
            found: FloatArray = np.asarray(np.interp(share, below, points))
            return found

        def spread(error: FloatArray | None) -> FloatArray:
            part = np.zeros(shares.shape) if error is None else error / self.count
            return (inverse(shares + part) - inverse(shares - part)) / 2

        values = inverse(shares)
        counted = self.counting(values)
        return Estimate(
            values, spread(counted.standard_error), spread(counted.quadrature_error)
        )

    def histogram(
        self, bins: int = 20, range: tuple[float, float] | None = None
    ) -> tuple[Estimate[FloatArray], FloatArray]:
        """Singular values per bin, and the edges of the bins, (bins + 1,).

        Differences of :meth:`counting`: bins are closed below and open above, the last
        one closed.

        Args:
            bins: Number of bins of equal width.
            range: (lowest, highest) edge; by default 0 to the largest node.

        Raises:
            ValueError: If bins is not a positive integer or the range not increasing.
        """
        if not (isinstance(bins, int | np.integer) and bins >= 1):
            raise ValueError(
                f"bins must be a positive integer; got {shown(bins)}; try 20"
            )
        low, high = (0.0, self.largest_node or 1.0) if range is None else range
        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"range must be finite and increasing; got {shown(range)}; leave it out "
                "for 0 to the largest node"
            )
        edges = np.linspace(low, high, int(bins) + 1)
        cuts = edges.copy()
        cuts[-1] += 2 * self._rounding * self.largest_node  # the last bin is closed
        shares = -np.diff(self._shares_from(cuts), axis=1)
        errors = self._share_errors(cuts)
        bound = self.count * (errors[:-1] + errors[1:])
        return self._curve(self.count * shares, (int(bins),), bound), edges

    def pdf(
        self, t: npt.ArrayLike, width: float | None = None, *, log: bool = False
    ) -> Estimate[FloatArray]:
        """The share of singular values per unit of t, blurred by a Gaussian.

        ``sum_j w_j g((t - x_j) / width) / width``, reflected at 0 so that it integrates
        to 1 over t >= 0. The blur is part of what is estimated.

        Args:
            t: Singular values, not negative (positive for ``log``).
            width: Standard deviation of the Gaussian; by default ``node_distance``
                (``2 / steps`` for ``log``).
            log: Per unit of ln t, with the blur in ln t and no reflection; values of 0
                are left out.

        Raises:
            ValueError: If width is not positive, or t negative (or 0 for ``log``).
        """
        points = np.asarray(t, dtype=np.float64)
        if not ((points > 0) if log else (points >= 0)).all():
            least = "positive for log=True" if log else "at least 0"
            raise ValueError(
                f"t must be {least}; got {shown(t)}; these are singular values"
            )
        if width is None:
            width = 2 / self._resolving_steps if log else self.node_distance
        if not 0 < width < math.inf:
            raise ValueError(
                f"width must be positive and finite; got {width}; "
                "leave it out for the distance of the nodes"
            )
        places = np.log(points.ravel()) if log else points.ravel()
        shares = [
            blurred(places, x, w, width, log)
            for x, w in zip(self.nodes, self.weights, strict=True)
        ]
        return self._curve(np.array(shares), points.shape, None)

    def __repr__(self) -> str:
        m, n = self.shape
        if self.method == "symbol":
            how = f"of the symbol, limit of large inputs: {self.nodes.size:,} nodes"
        else:
            how = f"of {m} x {n}: {self.probes} probes of {self.nodes.shape[1]} steps"
        return f"<Density {how}, nuclear norm {self.nuclear_norm}>"


def _scaled(estimate: Estimate[float], scale: float) -> Estimate[float]:
    """An estimate times a number; 0 stays 0 if that is infinite."""
    parts = (estimate.value, estimate.standard_error, estimate.quadrature_error or 0.0)
    return Estimate(*(scale * part if part else 0.0 for part in parts))


def _relative_to(value: float, of: Estimate[float], scale: float) -> Estimate[float]:
    """A value with the errors of an estimate, relative to ``scale``."""
    return _scaled(replace(of, value=scale), value / scale)
