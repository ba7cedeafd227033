"""Convolution and correlation as SciPy means them, in the terms of torch.

SciPy's convolution flips the kernel and cuts its "full" output, of ``n + k - 1`` numbers
per axis; torch correlates and pads its input. A flipped kernel and uneven padding turn
one into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from torch import Tensor

from convspec.arguments import per_axis, shown, single
from convspec.errors import GeometryError
from convspec.operators.weight import finite_tensor

__all__ = ["scipy_padding", "scipy_weight"]

MODES = ("full", "same", "valid")


def scipy_weight(kernel: Tensor | npt.NDArray[Any], correlate: bool) -> Tensor:
    """The weight (1, 1, *kernel) with which torch computes what SciPy does.

    Args:
        kernel: One to three axes, without channels.
        correlate: Whether it is for ``scipy.signal.correlate``, which conjugates the
            kernel, and not for ``convolve``, which flips it.

    Raises:
        GeometryError: If the kernel has other axes, or an empty one.
    """
    single("correlate", correlate, "truth value")
    taps = finite_tensor("kernel", kernel)
    if taps.ndim not in (1, 2, 3):
        raise GeometryError(
            "kernel must have 1, 2 or 3 axes, and no channels; got shape "
            f"{tuple(taps.shape)}; give ConvOperator(weight, ...) one with channels"
        )
    if 0 in taps.shape:
        raise GeometryError(
            f"kernel must have no empty axis; got shape {tuple(taps.shape)}"
        )
    if correlate:
        return taps.conj().resolve_conj()[None, None]
    return taps.flip(*range(taps.ndim))[None, None]


def scipy_padding(
    kernel: Sequence[int], input_size: int | Sequence[int], mode: str
) -> tuple[tuple[int, int], ...]:
    """Zeros (before, after) per axis that leave the outputs of SciPy's mode.

    "same" starts ``(k - 1) // 2`` into the full output, so that of an even kernel the odd
    zero is in front; torch's has it behind.

    Raises:
        GeometryError: If there is no such mode, or in mode "valid" the kernel is longer
            than the input.

    >>> [scipy_padding((4,), 9, mode) for mode in MODES]
    [((3, 3),), ((2, 1),), ((0, 0),)]
    """
    sizes = per_axis("input_size", input_size, len(kernel), least=1)
    if not isinstance(mode, str) or mode not in MODES:
        raise GeometryError(
            "mode must be 'full', 'same' or 'valid', as in scipy.signal; "
            f"got {shown(mode)}"
        )
    if mode == "full":
        return tuple((k - 1, k - 1) for k in kernel)
    if mode == "same":
        return tuple((k // 2, (k - 1) // 2) for k in kernel)
    _require_fit(kernel, sizes)
    return ((0, 0),) * len(kernel)


def _require_fit(kernel: Sequence[int], sizes: Sequence[int]) -> None:
    """Refuse mode "valid" where the kernel is longer than the input on some axis."""
    longer = [k > n for k, n in zip(kernel, sizes, strict=True)]
    if not any(longer):
        return
    swaps = all(k >= n for k, n in zip(kernel, sizes, strict=True))
    j = longer.index(True)
    raise GeometryError(
        "mode='valid' needs an input at least as long as the kernel on every axis; axis "
        f"{j} has size {sizes[j]} and {kernel[j]} taps; "
        + ("SciPy slides the input along the kernel then" if swaps else "so does SciPy")
        + "; use mode='full' or 'same', or a larger input"
    )
