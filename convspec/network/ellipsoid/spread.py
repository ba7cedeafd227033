"""The covariance of one tensor at all frequencies, not formed where it is wide."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.network.ellipsoid.stack import Stack

__all__ = ["Spread"]


@dataclass(frozen=True)
class Spread:
    """``Z = E S E^H + diag(d)`` at each frequency.

    Attributes:
        matrix: E, (F or 1, w, c).
        core: S, (F, c, c).
        diagonal: d, (F or 1, w).
        shares: Which share of all frequencies each stands for; (F,).
    """

    matrix: Tensor
    core: Tensor
    diagonal: Tensor
    shares: Tensor

    @property
    def width(self) -> int:
        """W."""
        return self.matrix.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(F, w)."""
        return len(self.core), self.width

    def blocks(self) -> Tensor:
        """Z itself; (F, w, w)."""
        found = self.matrix @ self.core @ self.matrix.mH
        return found + torch.diag_embed(self.diagonal).to(found.dtype)

    def variances(self) -> Tensor:
        """The mean of each channel's variance over frequencies; (w,)."""
        image = Stack.of([self.matrix]).left(self.core)
        own = (image * self.matrix.conj()).sum(2).real + self.diagonal
        return (self.shares[:, None] * own).sum(0)

    def at(self, places: Tensor) -> Spread:
        """The covariance at some frequencies."""

        def some(x: Tensor) -> Tensor:
            return x if len(x) == 1 else x[places]

        shares = self.shares[places]
        return Spread(some(self.matrix), self.core[places], some(self.diagonal), shares)

    def times(self, vectors: Tensor) -> Tensor:
        """``Z u`` at each frequency; (F, w)."""
        if len(self.matrix) == 1:  # one product in place of one at each frequency
            inner = vectors.to(self.matrix.dtype) @ self.matrix[0].conj()
            inner = (self.core @ inner[..., None])[..., 0]
            return inner @ self.matrix[0].mT + self.diagonal * vectors
        inner = self.core @ (self.matrix.mH @ vectors[..., None])
        image: Tensor = (self.matrix @ inner)[..., 0]
        return image + self.diagonal * vectors
