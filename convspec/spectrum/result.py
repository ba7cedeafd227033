"""The result of a spectrum: singular values, how they were computed, what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convspec.arguments import part
from convspec.arrays import FloatArray
from convspec.errors import NotApplicable
from convspec.isolation import isolated_class
from convspec.quantity.decimals import rounded_up

__all__ = ["Spectrum"]


@isolated_class
@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values ``sigma_1 >= sigma_2 >= ...`` of an operator.

    Attributes:
        values: Descending, float64: all min(m, n) of them when complete, else k.
        error: Bound on the absolute error of each value, one for all or one per value.
            By ``"krylov"`` a singular value lies that near; see :func:`spectrum`.
        shape: (m, n) of the operator.
        method: How they were computed: ``"dense"``, ``"fourier"`` or ``"krylov"``.
        complete: Whether these are all the values, zeros included.
        which: ``"largest"`` or ``"smallest"``: which k values an incomplete one holds.
        converged: Whether the method reached what it promises.
        left: With vectors: left singular vectors as images, (k, *output_shape).
        right: With vectors: right singular vectors as images, (k, *input_shape).
        eps: Machine epsilon of the arithmetic used.
        zeros: How many values, the last ones, are 0 by the operator's shape, exactly:
            its rank is less than min(m, n) whatever its weight.

    Example:
        >>> import torch, convspec as cs
        >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
        >>> spec = cs.spectrum(cs.ConvOperator(laplacian, 3, padding=1))
        >>> spec.values.round(4)  # 4 sin^2(pi j / 8), j = 3, 2, 1
        array([3.4142, 2.    , 0.5858])
        >>> round(spec.condition_number, 4), spec.rank()
        (5.8284, 3)
    """

    values: FloatArray
    error: float | FloatArray
    shape: tuple[int, int]
    method: str
    complete: bool = True
    which: str = "largest"
    converged: bool = True
    left: Tensor | None = None
    right: Tensor | None = None
    eps: float = float(np.finfo(np.float64).eps)
    zeros: int = 0

    @property
    def norm(self) -> float:
        """The operator norm ``sigma_1``; needs the largest values only."""
        if not self.complete and self.which != "largest":
            self._require_complete("norm")
        return float(self.values[0])

    def rank(self, rtol: float | None = None) -> int:
        """The number of values above ``rtol * sigma_1``.

        By default the tolerance of ``numpy.linalg.matrix_rank``:
        ``rtol = max(m, n) eps`` with the dimensions of the full operator.

        Raises:
            NotApplicable: On an incomplete spectrum.
            ValueError: If rtol is negative or NaN.
        """
        self._require_complete("rank")
        if rtol is None:
            rtol = max(self.shape) * self.eps
        if not rtol >= 0:
            raise ValueError(f"rtol must be at least 0; got {rtol}")
        return int((self.values > rtol * self.values[0]).sum())

    def energy_rank(self, share: float) -> int:
        """The least r with ``sum_{i <= r} sigma_i^2 >= share ||A||_F^2``.

        The best approximation of that rank keeps this share of the energy (Eckart and
        Young, 1936). Sums are compared up to their rounding.

        Raises:
            NotApplicable: On an incomplete spectrum.
            ValueError: If share is not from 0 to 1.
        """
        self._require_complete("energy_rank")
        sums = np.concatenate([np.zeros(1), np.cumsum(self._relative() ** 2)])
        slack = len(sums) * float(np.finfo(np.float64).eps)
        return int(np.argmax(sums >= part(share) * sums[-1] * (1 - slack)))

    def nullity(self, rtol: float | None = None) -> int:
        """The dimension of the operator's kernel, ``n - rank``."""
        return self.shape[1] - self.rank(rtol)

    @property
    def condition_number(self) -> float:
        """``sigma_1 / sigma_min(m, n)``; inf if the rank is below min(m, n)."""
        self._require_complete("condition_number")
        if self.rank() < len(self.values):
            return math.inf
        return float(self.values[0] / self.values[-1])

    @property
    def frobenius_norm(self) -> float:
        """``sqrt(sum sigma_i^2)``."""
        self._require_complete("frobenius_norm")
        if self.norm == math.inf:
            return math.inf
        return self.norm * math.sqrt(float((self._relative() ** 2).sum()))

    @property
    def nuclear_norm(self) -> float:
        """``sum sigma_i``."""
        self._require_complete("nuclear_norm")
        with np.errstate(over="ignore"):  # beyond float64 it is inf
            return float(self.values.sum())

    def schatten(self, p: float) -> float:
        """The Schatten norm ``(sum sigma_i^p)^(1/p)``, p > 0; the norm for p = inf.

        Raises:
            NotApplicable: On an incomplete spectrum.
            ValueError: If p is not positive.
        """
        self._require_complete("schatten")
        if not p > 0:
            raise ValueError(f"p must be positive (math.inf included); got {p}")
        if math.isinf(p) or self.norm == 0:
            return self.norm
        # in logarithms: for small p the root of the sum may overflow where this does not
        total = float((self._relative() ** p).sum())
        with np.errstate(over="ignore"):
            return float(np.exp(math.log(self.norm) + math.log(total) / p))

    @property
    def stable_rank(self) -> float:
        """``||A||_F^2 / sigma_1^2``; 0 for the zero operator."""
        self._require_complete("stable_rank")
        return float((self._relative() ** 2).sum())

    @property
    def effective_rank(self) -> float:
        """``exp(-sum p_i ln p_i)``, ``p_i = sigma_i / sum sigma``; 0 for zero.

        Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.
        """
        self._require_complete("effective_rank")
        share = self._relative()
        share = share[share > 0]
        if not len(share):
            return 0.0
        share = share / share.sum()
        return float(np.exp(-(share * np.log(share)).sum()))

    @property
    def participation_ratio(self) -> float:
        """``(sum sigma_i^2)^2 / sum sigma_i^4``; 0 for the zero operator."""
        self._require_complete("participation_ratio")
        squares = self._relative() ** 2
        total = float(squares.sum())
        return total**2 / float((squares**2).sum()) if total else 0.0

    @property
    def log_volume(self) -> float:
        """``sum ln sigma_i``, the log of the volume factor; -inf below full rank.

        The rank is the numerical one: where the smallest value is lost in rounding, as of
        triangular kernels it may be, ``log_abs_det(op)`` still has that of a square map.
        """
        self._require_complete("log_volume")
        if self.rank() < len(self.values):
            return -math.inf
        return float(np.log(self.values).sum())

    def _relative(self) -> FloatArray:
        """``sigma_i / sigma_1``: no square or power of these overflows."""
        top = self.values[0]
        if not top < math.inf:  # beyond float64 nothing is known of them
            return np.full_like(self.values, math.nan)
        return self.values / top if top > 0 else self.values

    def _require_complete(self, quantity: str) -> None:
        if self.complete:
            return
        raise NotApplicable(
            f"{quantity} needs all {min(self.shape)} singular values; this spectrum has "
            f"the {len(self.values)} {self.which}{self._found}; call spectrum(op) with "
            "k=None, or, where that is too large, spectral_envelope(op), which encloses "
            "it",
            quantity,
        )

    @property
    def _found(self) -> str:
        """Krylov proves each value, but not that there are none beyond them."""
        return " found" if self.method == "krylov" and not self.complete else ""

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy is not False)

    def __repr__(self) -> str:
        if self.complete:
            count = f"all {len(self.values)}"
        else:
            count = f"the {len(self.values)} {self.which}"
        return (
            f"<Spectrum of {self.shape[0]} x {self.shape[1]}: {count} singular values"
            f"{self._found}, {self.values[0]:.6g} ... {self.values[-1]:.6g}, "
            f"{self.method}, error <= {rounded_up(float(np.max(self.error)), 2)}>"
        )
