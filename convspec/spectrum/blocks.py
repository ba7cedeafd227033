"""Singular values of a batch of small matrices."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["CHUNK_BYTES", "block_values"]

# blocks are decomposed this many bytes at a time, whatever the size of the whole
CHUNK_BYTES = 2**27


def block_values(blocks: Tensor) -> Tensor:
    """Singular values of (..., r, c), descending: (..., min(r, c)), real."""
    if min(blocks.shape[-2:]) == 1:  # a row or a column: its length
        length: Tensor = torch.linalg.vector_norm(blocks, dim=(-2, -1))
        return length[..., None]
    values: Tensor = torch.linalg.svdvals(blocks)
    return values
