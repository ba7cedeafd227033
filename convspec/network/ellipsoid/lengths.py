"""Norms of matrices at each frequency that are not below the true ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.network.ellipsoid.maps import LOST_LENGTH

__all__ = ["UNIT", "lengths"]

UNIT = 2.0**-53


def lengths(blocks: Tensor) -> Tensor:
    """The Frobenius norm at each frequency and what its squares may lose; to (F,)."""
    if blocks.is_complex():  # moduli would be computed for nothing
        blocks = torch.view_as_real(blocks.resolve_conj())
    blocks = blocks.flatten(1)
    found: Tensor = torch.linalg.vector_norm(blocks, dim=1)
    return found + math.sqrt(blocks.shape[1]) * LOST_LENGTH
