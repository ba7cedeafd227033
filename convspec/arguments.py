"""Reading torch-style arguments: integers per axis, paddings, groups, kernel sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch

from convspec.errors import GeometryError

__all__ = [
    "Padding",
    "group_count",
    "integer",
    "is_integer",
    "kernel_size",
    "pad_pairs",
    "per_axis",
    "same_pads",
    "shown",
    "single",
]

Padding = int | str | Sequence[int | Sequence[int]]

LONGEST = 100  # that an argument is printed whole


def shown(value: object) -> str:
    """What an error says of an argument: its repr; of a long one, type and shape.

    >>> shown((1, 2)), shown("full"), shown(torch.zeros(1, 3, 16, 16))
    ('(1, 2)', "'full'", 'a Tensor of shape (1, 3, 16, 16)')
    >>> shown([torch.zeros(2, 200)] * 3)
    'a list of 3: a Tensor of shape (2, 200), ...'
    """
    text = repr(value)
    if len(text) <= LONGEST and "\n" not in text:
        return text
    kind = type(value).__name__
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"a {kind} of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {kind} of {len(value)}: {shown(value[0])}{', ...' * (len(value) > 1)}"
    return f"{text.splitlines()[0][:LONGEST]}..."


def kernel_size(weight_shape: Sequence[int]) -> tuple[int, ...]:
    """Taps per axis of a weight (channels, channels / groups, *kernel)."""
    if len(weight_shape) not in (3, 4, 5):
        plain = len(weight_shape) in (1, 2)
        raise GeometryError(
            "weight must have shape (channels, channels / groups, *kernel) with 1, 2 or "
            f"3 spatial dimensions; got shape {tuple(weight_shape)}"
            + "; a kernel without channels is weight[None, None], or as SciPy convolves "
            "with it ConvOperator.from_scipy(kernel, input_size)" * plain
        )
    if min(weight_shape) < 1:
        raise GeometryError(
            f"weight must have no empty dimension; got shape {tuple(weight_shape)}"
        )
    return tuple(weight_shape[2:])


def group_count(groups: int, channels: int, which: str) -> int:
    """The number of groups, which must divide the channels of the weight's first axis."""
    (count,) = per_axis("groups", groups, 1, least=1)
    if channels % count:
        raise GeometryError(
            f"groups must divide the {which}; got groups={count} for {channels} channels"
        )
    return count


def per_axis(
    name: str, value: int | Sequence[int], dim: int, *, least: int
) -> tuple[int, ...]:
    """One integer per axis from an integer or a sequence, each at least ``least``."""
    entries: Sequence[object] = [value] * dim if is_integer(value) else _entries(value)
    if len(entries) == 1 and name not in ("input_size", "shape"):  # as torch does
        entries = [*entries] * dim
    numbers = tuple(int(entry) for entry in entries if is_integer(entry))
    if not len(numbers) == len(entries) == dim or min(numbers) < least:
        hint = "; leave the channels out" if name == "input_size" else ""
        raise GeometryError(
            f"{name} must be an integer or {dim} integers (one per spatial axis), "
            f"each at least {least}; got {shown(value)}{hint}"
        )
    return numbers


def integer(name: str, value: int, least: int, hint: str = "") -> int:
    """An integer of at least ``least``, a plain one.

    Raises:
        ValueError: If it is none; ``hint`` says what to do.
    """
    if not (is_integer(value) and value >= least):
        more = f"; {hint}" if hint else ""
        raise ValueError(
            f"{name} must be an integer of at least {least}; got {shown(value)}{more}"
        )
    return int(value)


def part(share: float) -> float:
    """A share of a whole.

    Raises:
        ValueError: If it is not a number from 0 to 1.
    """
    single("share", share)
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1; got {shown(share)}")
    return float(share)


def single(name: str, value: object, what: str = "number") -> None:
    """Refuse tensors and arrays of several entries where one is meant.

    Raises:
        TypeError: For those.
    """
    if isinstance(value, torch.Tensor | np.ndarray) and np.prod(value.shape) != 1:
        raise TypeError(
            f"{name} must be one {what}; got {shown(value)}; take one of its entries"
        )


def _entries(value: object) -> Sequence[object]:
    """The entries of a sequence; none for anything else, which the caller refuses."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    return ()


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is an integer of Python or NumPy; truth values are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def pad_pairs(
    padding: Padding,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    modes: Sequence[str],
) -> list[tuple[int, int]]:
    """(before, after) per axis; 'same' puts the odd pixel behind, as torch does."""
    if isinstance(padding, str) and padding == "valid":
        return [(0, 0)] * len(kernel)
    if isinstance(padding, str) and padding == "same":
        if max(strides) > 1:
            raise GeometryError(
                "padding='same' needs stride 1, as in torch; "
                f"got stride {tuple(strides)}; give the amounts as (before, after) pairs"
            )
        return same_pads(kernel, dilations)
    entries = [padding] * len(kernel) if is_integer(padding) else _entries(padding)
    if len(entries) == 1 and {*modes} == {"zeros"}:  # torch repeats it in this mode alone
        entries = [*entries] * len(kernel)
    pairs = [_pad_pair(entry) for entry in entries]
    if len(pairs) != len(kernel) or any(min(pair) < 0 for pair in pairs):
        full = isinstance(padding, str) and padding == "full"
        raise GeometryError(
            "padding must be 'same', 'valid', a non-negative integer, or one integer or "
            f"(before, after) pair for each of the {len(kernel)} spatial axes; "
            f"got {shown(padding)}"
            + "; that is dilation * (kernel - 1) on both sides, or as SciPy convolves "
            "ConvOperator.from_scipy(kernel, input_size, 'full')" * full
        )
    return pairs


def same_pads(kernel: Sequence[int], dilations: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) per axis that keep the size at stride 1; the odd pixel behind."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _pad_pair(entry: object) -> tuple[int, int]:
    """(before, after); (-1, -1) for what is no padding, which the caller refuses."""
    if is_integer(entry):
        return entry, entry
    if isinstance(entry, list | tuple) and len(entry) == 2:
        before, after = entry
        if is_integer(before) and is_integer(after):
            return before, after
    return -1, -1
