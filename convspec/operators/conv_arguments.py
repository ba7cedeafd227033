"""The arguments of a convolution in torch's names, carried in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convspec.arguments import Padding
from convspec.operators.padding_mode import PaddingMode

__all__ = ["ConvArguments"]


@dataclass(frozen=True)
class ConvArguments:
    """What a convolution is given beside its weight and the input size, unchecked.

    They mean what they mean in ``torch.nn.Conv{1,2,3}d`` and ``ConvTranspose{1,2,3}d``
    and have the same defaults. :meth:`convspec.operators.geometry.ConvGeometry.of`
    checks them against a weight.

    Attributes:
        stride: Per axis or for all.
        padding: ``"same"``, ``"valid"``, an integer, or per axis an integer or a
            (before, after) pair.
        dilation: Per axis or for all.
        groups: Number of groups.
        padding_mode: Of torch's, or ``"symmetric"``; one, or one for each axis.
        transposed: Whether it is a transposed convolution.
        output_padding: Per axis or for all; of transposed ones alone.
    """

    stride: int | Sequence[int] = 1
    padding: Padding = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1
    padding_mode: PaddingMode = "zeros"
    transposed: bool = False
    output_padding: int | Sequence[int] = 0

    @property
    def keywords(self) -> dict[str, Any]:
        """By name, as public functions take them."""
        return dict(vars(self))
