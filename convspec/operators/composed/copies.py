"""Copies of entries, or zeros: views, slices, padding, shuffles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.composed.identity import Identity
from convspec.operators.linear_map import LinearMap, numpy_dtype

__all__ = ["Copies", "view"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Copies(LinearMap):
    """``y_i = x_(p_i)``, or its transpose, which adds copies up.

    Attributes:
        places: p; for each entry of what has the copies the place in the other, -1 for a
            zero; (count,), int64. None for all entries in order.
        into: The shape of an image that it takes.
        out: The shape of an image that it gives.
        kind: The dtype.
        where: The device.
        transposed: Whether it adds copies up.
    """

    places: Tensor | None
    into: tuple[int, ...]
    out: tuple[int, ...]
    kind: torch.dtype
    where: torch.device
    transposed: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an image that it takes."""
        return self.into

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of an image that it gives."""
        return self.out

    @property
    def dtype(self) -> torch.dtype:
        """As it was made."""
        return self.kind

    @property
    def device(self) -> torch.device:
        """As it was made."""
        return self.where

    @property
    def T(self) -> Copies:  # noqa: N802
        """Sums of copies."""
        turned = not self.transposed
        return Copies(self.places, self.out, self.into, self.kind, self.where, turned)

    @property
    def H(self) -> Copies:  # noqa: N802
        """Sums of copies."""
        return self.T

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Copies:
        """The copies in another dtype or on another device."""
        places = None if self.places is None else self.places.to(device=device)
        where = self.where if device is None else torch.device(device)
        kind = dtype or self.kind
        return Copies(places, self.into, self.out, kind, where, self.transposed)

    @property
    def most(self) -> int:
        """How often an entry is copied, at most."""
        if self.places is None:
            return 1
        kept = self.places[self.places >= 0]
        return int(torch.bincount(kept).max()) if len(kept) else 0

    def _images(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if self.places is not None:
            flat = self._added(flat) if self.transposed else self._copied(flat)
        return flat.reshape(len(x), *self.out)

    def _copied(self, flat: Tensor) -> Tensor:
        assert self.places is not None
        copies = flat[:, self.places.clamp(min=0)]
        return copies.masked_fill(self.places < 0, 0)

    def _added(self, flat: Tensor) -> Tensor:
        assert self.places is not None
        kept = self.places >= 0
        empty = flat.new_zeros(len(flat), math.prod(self.out))
        return empty.index_add(1, self.places[kept], flat[:, kept])

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The matrix of zeros and ones.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        m, n = self.shape[::-1] if self.transposed else self.shape
        what = f"the sparse matrix of {m} copies"
        require_bytes(what, 48 * m, max_bytes, "use apply()")
        if self.places is None:
            return sparse.csr_array(sparse.eye_array(m, dtype=numpy_dtype(self.kind)))
        places = self.places.cpu().numpy()
        rows = np.flatnonzero(places >= 0)
        ones = np.ones(len(rows), dtype=numpy_dtype(self.kind))
        found = sparse.csr_array((ones, (rows, places[rows])), shape=(m, n))
        return sparse.csr_array(found.T) if self.transposed else found


def view(a: LinearMap, into: tuple[int, ...], out: tuple[int, ...]) -> LinearMap:
    """The map between images that have the same entries, in order, in other shapes."""
    found = a
    if isinstance(a, Identity) and into != out:
        return Copies(None, into, out, a.dtype, a.device)
    if a.input_shape != into:
        found = found @ Copies(None, into, a.input_shape, a.dtype, a.device)
    if a.output_shape != out:
        found = Copies(None, a.output_shape, out, a.dtype, a.device) @ found
    return found
