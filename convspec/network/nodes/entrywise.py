"""Functions of single entries, with the ends of their slopes.

Ends are exact, or decimals rounded outward of roots that have no closed form: of GELU,
SiLU and Mish the extreme slopes are where the second derivative vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from convspec.network.kinds import Curved, Entrywise, Kind
from convspec.network.nodes.given import Given
from convspec.network.nodes.linear import BOUNDED_ONLY
from convspec.rounding.directed import up

__all__ = ["READERS"]

Slopes = tuple[float, float] | str

# rounded outward in the last digit
GELU = (-0.1289041451852, 1.1289041451852)
GELU_TANH = (-0.1289930686588, 1.1289930686588)
SILU = (-0.0998393201289, 1.0998393201289)
MISH = (-0.1125261223895, 1.0884981612518)
# torch's softplus is linear from here on, which leaves out 2e-9
LINEAR = 20


def _fixed(lower: float, upper: float) -> Callable[[Given], Slopes]:
    return lambda given: (lower, upper)


def _gelu(given: Given) -> Slopes:
    return GELU_TANH if given.named["approximate"] == "tanh" else GELU


def _elu(given: Given) -> Slopes:
    """``scale x`` above 0, ``scale alpha (exp(input_scale x) - 1)`` below."""
    alpha, scale = float(given.named["alpha"]), float(given.named["scale"])
    if not float(given.named["input_scale"]) > 0:
        return "it grows exponentially, since its alpha is not positive"
    steep = scale * alpha * float(given.named["input_scale"])
    ends = (0.0, scale, up(steep) if steep > 0 else -up(-steep))
    return min(ends), max(ends)


def _leaky(given: Given) -> Slopes:
    slope = float(given.named["negative_slope"])
    return min(slope, 1.0), max(slope, 1.0)


def _rrelu(given: Given) -> Slopes:
    """In evaluation the mean of the slopes that it draws from."""
    if given.named["training"]:
        return "it draws random numbers"
    slope = (float(given.named["lower"]) + float(given.named["upper"])) / 2
    return min(slope, 1.0), max(slope, 1.0)


def _threshold(given: Given) -> Slopes:
    if given.named["threshold"] != given.named["value"]:
        return "it jumps, since its value is not its threshold"
    return 0.0, 1.0


def _clamped(given: Given) -> Slopes:
    if len(given.data) > 1:
        return "its ends depend on the input"
    return 0.0, 1.0


def _celu(given: Given) -> Slopes:
    if not float(given.named["alpha"]) > 0:
        return "it grows exponentially, since its alpha is not positive"
    return 0.0, 1.0


def _softplus(given: Given) -> Slopes:
    if not float(given.named["beta"]) > 0:
        return "its beta is not positive"
    if float(given.named["threshold"]) < LINEAR:
        return f"it jumps where it becomes linear; raise its threshold to {LINEAR}"
    return 0.0, 1.0


READERS_OF_SLOPES: dict[str, Callable[[Given], Slopes]] = {
    "abs": _fixed(-1.0, 1.0),
    "atan": _fixed(0.0, 1.0),
    "arctan": _fixed(0.0, 1.0),
    "celu": _celu,
    "clamp": _clamped,
    "clamp_max": _clamped,
    "clamp_min": _clamped,
    "cos": _fixed(-1.0, 1.0),
    "elu": _elu,
    "erf": _fixed(0.0, up(2 / math.sqrt(math.pi), 4)),
    "gelu": _gelu,
    "hardsigmoid": _fixed(0.0, up(1 / 6)),
    "hardswish": _fixed(-0.5, 1.5),
    "hardtanh": _fixed(0.0, 1.0),
    "leaky_relu": _leaky,
    "log_sigmoid_forward": _fixed(0.0, 1.0),
    "mish": _fixed(*MISH),
    "relu": _fixed(0.0, 1.0),
    "relu6": _fixed(0.0, 1.0),
    "rrelu_with_noise": _rrelu,
    "sigmoid": _fixed(0.0, 0.25),
    "silu": _fixed(*SILU),
    "sin": _fixed(-1.0, 1.0),
    "softplus": _softplus,
    "softshrink": _fixed(0.0, 1.0),
    "tanh": _fixed(0.0, 1.0),
    "threshold": _threshold,
}
# functions with jumps, or steeper than any number
JUMPS = (
    "argmax",
    "ceil",
    "eq",
    "floor",
    "ge",
    "gt",
    "hardshrink",
    "heaviside",
    "le",
    "lt",
    "ne",
    "round",
    "sign",
    "trunc",
)
STEEP = ("exp", "expm1", "log", "log1p", "pow", "reciprocal", "rsqrt", "sqrt", "square")


def _entrywise(given: Given) -> Kind | str:
    found = READERS_OF_SLOPES[given.name](given)
    if isinstance(found, str):
        return found
    if given.event.outputs[0].shape != given.data[0].shape:
        return "its ends have more entries than its input; expand that before"
    lower, upper = (_number(end) for end in found)
    return Entrywise(lower, upper, given.name)


def _prelu(given: Given) -> Kind | str:
    """``a x`` below 0, with a for each channel."""
    slope = given.constant("weight")
    if slope is None:
        return "its slope depends on the input"
    shape = given.data[0].shape
    if slope.ndim == 1 and len(shape) > 1:  # of channels
        slope = slope.reshape(1, -1, *[1] * (len(shape) - 2))
    one = torch.ones_like(slope)
    return Entrywise(torch.minimum(slope, one), torch.maximum(slope, one), "prelu")


def _jumps(given: Given) -> str:
    return "it jumps, so that no constant is finite"


def _steep(given: Given) -> Kind | str:
    """A function whose slope is bounded on bounded intervals."""
    words = given.no_bound(f"its slope has no bound{BOUNDED_ONLY}")
    if given.name != "pow":
        return Curved(given.name, 0.0, words)
    order = given.named.get("exponent")
    if not isinstance(order, int | float) or len(given.data) != 1:
        return "its base or its exponent depends on the input"
    whole = float(order).is_integer()
    if order in (0, 1):
        return "it is no power; leave it out"
    name = ("pow" if order > 0 else "inverse") if whole else "root"
    return Curved(name, float(order), words)


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")


READERS: dict[str, Callable[[Given], Kind | str | list[Kind]]] = {
    **dict.fromkeys(READERS_OF_SLOPES, _entrywise),
    "prelu": _prelu,
    "_prelu_kernel": _prelu,
    **dict.fromkeys(JUMPS, _jumps),
    **dict.fromkeys(STEEP, _steep),
}
