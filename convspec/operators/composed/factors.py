"""A factor for each entry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import sparse
from torch import Tensor

from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.linear_map import LinearMap

__all__ = ["Factors"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Factors(LinearMap):
    """``y_i = f_i x_i``: batch norms, and whatever else multiplies entry by entry.

    Attributes:
        factor: Broadcast to an image.
        sizes: The shape of an image.
        relative: What each factor is off by, at most, relative to itself.
    """

    factor: Tensor
    sizes: tuple[int, ...]
    relative: float = 0.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return self.sizes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return self.sizes

    @property
    def dtype(self) -> torch.dtype:
        """The factors'."""
        return self.factor.dtype

    @property
    def device(self) -> torch.device:
        """The factors'."""
        return self.factor.device

    @property
    def T(self) -> Factors:  # noqa: N802
        """Itself."""
        return self

    @property
    def H(self) -> Factors:  # noqa: N802
        """The conjugates."""
        return Factors(self.factor.conj().resolve_conj(), self.sizes, self.relative)

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Factors:
        """The factors in another dtype or on another device."""
        return Factors(self.factor.to(device, dtype), self.sizes, self.relative)

    def _images(self, x: Tensor) -> Tensor:
        return self.factor.to(x.dtype) * x

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The diagonal matrix.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        side = self.shape[0]
        what = f"the sparse diagonal of {side} entries"
        require_bytes(what, 40 * side, max_bytes, "use apply()")
        factor = self.factor.detach().cpu()
        if factor.dtype in (torch.float16, torch.bfloat16):
            factor = factor.float()
        entries = factor.expand(self.sizes).flatten().numpy()
        return sparse.csr_array(sparse.diags_array(entries))
