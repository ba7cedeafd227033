"""What is known of a network's Lipschitz constant, and how it came to be known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from convspec.errors import NotApplicable
from convspec.isolation import isolated_class
from convspec.quantity.bound import Bound

if TYPE_CHECKING:
    from convspec.network.certificate import Certificate

__all__ = ["NetworkBound", "Step"]


@dataclass(frozen=True)
class Step:
    """One way to bound a network.

    Attributes:
        name: Of the method: product, fused, first ellipsoid, ellipsoid, dense ellipsoid.
        upper: The bound; infinite where it does not apply.
        seconds: It took.
        words: What it did, or why it does not apply.
    """

    name: str
    upper: float
    seconds: float
    words: str


@isolated_class
@dataclass(frozen=True, eq=False)
class NetworkBound:
    """``lower <= L <= upper`` for ``L = sup |f(x) - f(y)| / |x - y|``, l2 to l2.

    Attributes:
        lower: Attained by the pair, 0 if none was searched.
        upper: Certified: the least of all steps.
        steps: All methods, in the order in which they were tried.
        pair: Inputs (x, y) that the network drives apart by ``lower``; None without.
        layers: Lipschitz constants of the network's parts by their place, the largest
            factor first: name and factor.
        warnings: What is to be known of single layers.
        certificate: What proves ``upper``; None if that is a product of norms.
    """

    lower: float
    upper: float
    steps: tuple[Step, ...]
    pair: tuple[Tensor, Tensor] | None = None
    layers: tuple[tuple[str, float], ...] = ()
    warnings: tuple[str, ...] = ()
    certificate: Certificate | None = None
    _pairs: Tensor | None = field(default=None, repr=False)

    @property
    def best(self) -> Step:
        """The step that gives ``upper``."""
        return min(self.steps, key=lambda step: step.upper)

    @property
    def bound(self) -> Bound:
        """Both ends as a :class:`convspec.Bound`."""
        assumptions = "l2 to l2, evaluation mode, one image; " + self.best.words
        return Bound(
            self.lower, self.upper, self.best.name, assumptions, "convspec.lipschitz"
        )

    def pairs(self) -> Tensor:
        """``L_ij >= |y_i - y_j|`` per unit of input, for all outputs; (K, K) float64.

        At most ``sqrt(2) upper``, from one ellipsoid of all outputs.

        Raises:
            NotApplicable: If the outputs are no vector, or of one entry.
        """
        if self._pairs is None:
            raise NotApplicable(
                "pairs() needs a network whose output is one vector of classes, and "
                "input of one image",
                "pairs",
            )
        return self._pairs.clone()

    def save(self, path: str | Path) -> None:
        """Write what proves ``upper`` to a file that :func:`convspec.verify` re-checks.

        Raises:
            NotApplicable: If the least bound is a product of norms, which needs no file.
        """
        if self.certificate is None:
            raise NotApplicable(
                "a certificate holds the multipliers of an ellipsoid; the least bound "
                f"here is {self.best.name!r}, which is computed again by "
                "lipschitz(model, input_shape, method='scalar')",
                "certificate",
            )
        self.certificate.save(path)

    def to_dict(self) -> dict[str, Any]:
        """Ends and steps as plain numbers."""
        return {
            "lower": self.lower,
            "upper": self.upper,
            "steps": [
                {
                    "name": step.name,
                    "upper": step.upper,
                    "seconds": step.seconds,
                    "words": step.words,
                }
                for step in self.steps
            ],
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        lines = [f"{self.lower:.6g} <= L <= {self.upper:.6g}  (l2, certified above)"]
        width = max(len(step.name) for step in self.steps)
        for step in self.steps:
            shown = f"{step.upper:12.6g}" if math.isfinite(step.upper) else f"{'-':>12}"
            lines.append(
                f"  {step.name:{width}} {shown} {step.seconds:8.1f} s  {step.words}"
            )
        if self.pair is not None:
            distance = float(torch.linalg.vector_norm(self.pair[0] - self.pair[1]))
            lines.append(
                f"  {'a pair':{width}} {self.lower:12.6g} {'':8}    "
                f"two inputs {distance:.3g} apart"
            )
        lines += [f"  note: {warning}" for warning in self.warnings]
        return "\n".join(lines)
