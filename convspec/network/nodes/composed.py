"""Functions of entries that models write out in several operations.

By itself ``x * sigmoid(x)`` multiplies data with data, which has no constant; as a whole
it is a function of each entry whose slopes are bounded. What is read here is a factor, a
divisor or a part of a difference that is itself made of the other one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from convspec.model.event import Value
from convspec.network.kinds import Entrywise
from convspec.network.nodes.entrywise import MISH, SILU
from convspec.network.nodes.given import Given
from convspec.rounding.directed import up

__all__ = ["composed"]

Maker = Callable[[Value], Given | None]
# of v relu6(v + 3)
HARD = (-3.0, 9.0)
LIMITS = ("clamp", "clamp_max", "clamp_min", "hardtanh", "relu", "relu6")


def composed(given: Given, maker: Maker) -> tuple[Entrywise, Value] | None:
    """The function of entries that ends in an operation, and what it is of.

    Args:
        given: The last operation.
        maker: Tells what made a value that is known and holds.
    """
    found = _Written(maker).found(given)
    if found is None or given.event.outputs[0].shape != found[1].shape:
        return None
    (lower, upper), value, words = found
    low, high = (
        torch.tensor(end, dtype=torch.float64, device="cpu") for end in (lower, upper)
    )
    return Entrywise(low, high, words), value


@dataclass(frozen=True)
class _Written:
    """Reads what was written out."""

    maker: Maker

    def found(self, given: Given) -> tuple[tuple[float, float], Value, str] | None:
        """Ends of slopes, the value that is the variable, and the function's name."""
        first, second = given.named.get("self"), given.named.get("other")
        if not isinstance(first, Value) or not isinstance(second, Value):
            return None
        if given.name == "div" and not given.named.get("rounding_mode"):
            slopes = self._softsign(first, second)
            return slopes and (slopes, first, "softsign")
        if given.name == "sub" and given.named.get("alpha", 1) == 1:
            shrinks = self._argument(second, "tanh") == first
            return ((0.0, 1.0), first, "tanhshrink") if shrinks else None
        if given.name == "mul":
            for value, factor in ((first, second), (second, first)):
                gated = self._gated(value, factor)
                if gated is not None:
                    return gated[0], value, gated[1]
        return None

    def _argument(self, value: Value, *names: str) -> Value | None:
        """What a value is a function of, if it is one of these functions."""
        made = self.maker(value)
        if made is None or made.name not in names:
            return None
        first = next(iter(made.event.args), None)
        return first if isinstance(first, Value) else None

    def _shifted(self, value: Value) -> tuple[Value, float] | None:
        """``u + c`` as u and c."""
        made = self.maker(value)
        if made is None or made.name != "add" or made.named.get("alpha", 1) != 1:
            return None
        return _data_and_number(made)

    def _scaled(self, value: Value) -> tuple[Value, float]:
        """``c u`` as u and c; itself and 1 of others."""
        made = self.maker(value)
        if made is not None and made.name in ("mul", "div"):
            found = _data_and_number(made)
            if found is not None and made.name == "mul":
                return found
            plain = made.is_data("self") and not made.named.get("rounding_mode")
            if found is not None and plain and found[1]:
                return found[0], 1 / found[1]
        return value, 1.0

    def _softsign(self, value: Value, divisor: Value) -> tuple[float, float] | None:
        """``v / (c + |v|)``, whose slope is ``c / (c + |v|)^2``."""
        found = self._shifted(divisor)
        if found is None or not found[1] > 0:
            return None
        return (
            (0.0, up(1 / found[1])) if self._argument(found[0], "abs") == value else None
        )

    def _gated(
        self, value: Value, factor: Value
    ) -> tuple[tuple[float, float], str] | None:
        """``v sigmoid(b v)``, whose slopes are those of SiLU for every b; and others."""
        inner = self._argument(factor, "sigmoid")
        if inner is not None and value in (inner, self._scaled(inner)[0]):
            return SILU, "silu" if value == inner else "silu of another slope"
        if self._argument(factor, "hardsigmoid") == value:
            return (-0.5, 1.5), "hardswish"
        soft = self._argument(factor, "tanh")
        if soft is not None and self._argument(soft, "softplus") == value:
            made = self.maker(soft)
            if made is not None and made.named["beta"] == 1:
                return MISH, "mish"
        return self._hard(value, *self._scaled(factor))

    def _hard(
        self, value: Value, factor: Value, scale: float
    ) -> tuple[tuple[float, float], str] | None:
        """``c v relu6(v + 3)``, the limits by one operation or by two."""
        inner, low, high = factor, -math.inf, math.inf
        while (limits := self._limits(inner)) is not None:
            inner, low, high = limits[0], max(low, limits[1]), min(high, limits[2])
        if (low, high) != (0, 6) or self._shifted(inner) != (value, 3.0):
            return None
        ends = sorted((scale * HARD[0], scale * HARD[1]))
        # larger ones reach below its values
        words = "hardswish" if 0 <= scale <= 1 / 6 else "multiple of hardswish"
        return (-up(-ends[0], 2), up(ends[1], 2)), words

    def _limits(self, value: Value) -> tuple[Value, float, float] | None:
        """What a value is cut from, and between which ends."""
        made = self.maker(value)
        inner = self._argument(value, *LIMITS)
        if made is None or inner is None:
            return None
        if made.name in ("relu", "relu6"):
            return inner, 0.0, 6.0 if made.name == "relu6" else math.inf
        low, high = (
            made.named.get(name, made.named.get(f"{name}_val")) for name in ("min", "max")
        )
        if isinstance(low, Value) or isinstance(high, Value):
            return None
        return (
            inner,
            -math.inf if low is None else float(low),
            math.inf if high is None else float(high),
        )


def _data_and_number(given: Given) -> tuple[Value, float] | None:
    """The tensor of data and the constant number that an operation reads."""
    if len(given.data) != 1:
        return None
    other = given.constant("other" if given.is_data("self") else "self")
    if other is None or other.numel() != 1 or not math.isfinite(float(other)):
        return None
    return given.data[0], float(other)
