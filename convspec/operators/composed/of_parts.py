"""What products and stacks have in common: parts that promote to one dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch

from convspec.operators.composed.part_of import common_dtype
from convspec.operators.linear_map import LinearMap

__all__ = ["OfParts"]

Map = TypeVar("Map", bound="OfParts")


@dataclass(frozen=True, eq=False, repr=False)
class OfParts(LinearMap):
    """Made of several maps on one device.

    Attributes:
        parts: One or more maps.
    """

    parts: tuple[LinearMap, ...]

    @property
    def dtype(self) -> torch.dtype:
        """What those of the parts promote to."""
        return common_dtype(self.parts)

    @property
    def device(self) -> torch.device:
        """That of the parts."""
        return self.parts[0].device

    def to(
        self: Map,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Map:
        """The same of the parts in another dtype or on another device."""
        return type(self)(tuple(part.to(dtype, device) for part in self.parts))
