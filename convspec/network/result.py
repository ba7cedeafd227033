"""What is known of a network's Lipschitz constant, and how it came to be known."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from convspec.errors import NotApplicable
from convspec.extras import import_extra
from convspec.isolation import isolated_class
from convspec.quantity import latex
from convspec.quantity.bound import Bound
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.written import write_text

if TYPE_CHECKING:
    from convspec.network.certificate import Certificate
    from convspec.network.depth import Depth
    from convspec.network.domain import Domain

__all__ = ["PAIR", "NetworkBound", "Step"]

DIGITS = 6
PAIR = "a pair"


@dataclass(frozen=True)
class Step:
    """One way to bound a network.

    Attributes:
        name: Of the method: product, fused, first ellipsoid, ellipsoid, dense ellipsoid.
        upper: The bound; infinite where it does not apply, or was interrupted.
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
        depth: The tensors on the way, in order; empty of a certificate.
        warnings: What is to be known of single layers, and of the search.
        scale: Unit of each channel in which inputs are measured; empty for their own.
        domain: Of the inputs; None for all.
        certificate: What proves ``upper``; None if norms alone do.
    """

    lower: float
    upper: float
    steps: tuple[Step, ...]
    pair: tuple[Tensor, Tensor] | None = None
    depth: tuple[Depth, ...] = ()
    warnings: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    domain: Domain | None = None
    certificate: Certificate | None = None
    _pairs: Tensor | None = field(default=None, repr=False)

    @property
    def best(self) -> Step:
        """The step that gives ``upper``."""
        return min(self.steps, key=lambda step: step.upper)

    @property
    def costliest(self) -> tuple[Depth, ...]:
        """The tensors on the way, those first whose layers have the largest factors."""
        return tuple(sorted(self.depth, key=lambda each: -each.factor))

    @property
    def bound(self) -> Bound:
        """Both ends as a :class:`convspec.Bound`."""
        words = f"{self._norms}, evaluation mode, one image; {self.best.words}"
        return Bound(self.lower, self.upper, self.best.name, words, "convspec.lipschitz")

    @property
    def _norms(self) -> str:
        """Between which norms."""
        words = "l2 to l2"
        if self.scale:
            units = ", ".join(f"{unit:g}" for unit in dict.fromkeys(self.scale))
            words += f", the input in units of {units}"
        return words if self.domain is None else f"{words}, {self.domain}"

    def pairs(self) -> Tensor:
        """``L_ij >= |y_i - y_j|`` per unit of input, for all outputs; (K, K) float64.

        At most ``sqrt(2) upper``, each from the ellipsoid of all outputs that gives the
        least.

        Raises:
            NotApplicable: If the outputs are no vector, or no ellipsoid was found.
        """
        if self._pairs is None:
            raise NotApplicable(
                "pairs() needs a network whose output is one vector of classes, and an "
                "ellipsoid of it; take sqrt(2) upper for each pair",
                "pairs",
            )
        return self._pairs.clone()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what proves ``upper`` to a file that :func:`convspec.verify` re-checks.

        Raises:
            NotApplicable: If the least bound is one of norms alone, which needs no file.
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
        """Ends and steps as plain numbers; infinities are the string "inf"."""
        steps = [asdict(step) for step in self.steps]
        for step in steps:
            step["upper"] = _plain(step["upper"])
        return {
            "lower": self.lower,
            "upper": _plain(self.upper),
            "method": self.best.name,
            "steps": steps,
            "scale": list(self.scale),
            "domain": None if self.domain is None else str(self.domain),
            "warnings": list(self.warnings),
            "depth": [_finite(asdict(each)) for each in self.depth],
        }

    @overload
    def to_json(self, path: None = None) -> str: ...
    @overload
    def to_json(self, path: str | os.PathLike[str]) -> None: ...
    def to_json(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Write :meth:`to_dict` as JSON.

        Args:
            path: The file; None for the text itself.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        if path is None:
            return text
        write_text(path, text)
        return None

    def to_dataframe(self) -> Any:
        """The steps as a pandas DataFrame, one in a row.

        Raises:
            MissingExtra: Without pandas, which ``convspec[dataframe]`` installs.
        """
        pandas = import_extra("pandas", "dataframe")
        return pandas.DataFrame(
            [asdict(step) for step in self.steps],
            columns=["name", "upper", "seconds", "words"],
        )

    def to_latex(self, *, digits: int = 4) -> str:
        """A LaTeX ``tabular`` with the rules of ``booktabs``: steps, then the pair.

        Upper ends are rounded up and the lower one down, so that what is printed holds.

        Args:
            digits: Significant digits.

        Raises:
            ValueError: Without a digit.
        """
        if digits < 1:
            raise ValueError(f"digits must be at least 1; got {digits}")
        rows = [
            [latex.escaped(step.name.capitalize()), _at_most(step.upper, digits)]
            for step in self.steps
        ]
        if self.pair is not None:
            rows.append(
                [PAIR.capitalize(), rf"$\ge$ {latex.rounded_down(self.lower, digits)}"]
            )
        return latex.tabular("lr", ["Method", "$L$"], rows)

    @overload
    def to_html(self, path: None = None, *, title: str | None = None) -> str: ...
    @overload
    def to_html(
        self, path: str | os.PathLike[str], *, title: str | None = None
    ) -> None: ...
    def to_html(
        self, path: str | os.PathLike[str] | None = None, *, title: str | None = None
    ) -> str | None:
        """Write one page that needs nothing else: both ends in words, and all steps.

        It has the figure of the steps, constants of pairs of outputs where there are few,
        and how to check the upper end. No other file or network is read.

        Args:
            path: The file; None for the text itself.
            title: Heading of the page, such as the name of the model.

        Raises:
            MissingExtra: Without jinja2, which ``convspec[html]`` installs.
            TypeError: If the title is no string.
        """
        from convspec.pages.constant import constant_page

        text = constant_page(self, title)
        if path is None:
            return text
        write_text(path, text)
        return None

    def _repr_html_(self) -> str:
        """The table of steps, for notebooks."""
        from convspec.pages.ladder import small_table

        return small_table(self)

    def __repr__(self) -> str:
        low, high = rounded_down(self.lower, DIGITS), rounded_up(self.upper, DIGITS)
        lines = [f"{low} <= L <= {high}  ({self._norms}, certified above)"]
        width = max(len(name) for name in (PAIR, *(step.name for step in self.steps)))
        for step in self.steps:
            known = math.isfinite(step.upper)
            shown = rounded_up(step.upper, DIGITS, zeros=True) if known else "-"
            lines.append(
                f"  {step.name:{width}} {shown:>12} {step.seconds:8.1f} s  {step.words}"
            )
        if self.pair is not None:
            distance = float(torch.linalg.vector_norm(self.pair[0] - self.pair[1]))
            shown = rounded_down(self.lower, DIGITS, zeros=True)
            words = f"two inputs {distance:.3g} apart"
            lines.append(f"  {PAIR:{width}} {shown:>12} {'':8}    {words}")
        lines += [f"  note: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _plain(v) if isinstance(v, float) else v for k, v in values.items()}


def _plain(value: float) -> float | str:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else "inf"


def _at_most(value: float, digits: int) -> str:
    return latex.rounded_up(value, digits) if math.isfinite(value) else latex.NONE
