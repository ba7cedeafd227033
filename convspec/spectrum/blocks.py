"""Singular values of a batch of small matrices."""

from __future__ import annotations

import torch
from scipy.linalg import svd
from torch import Tensor

__all__ = ["CHUNK_BYTES", "block_values"]

# blocks are decomposed this many bytes at a time, whatever the size of the whole
CHUNK_BYTES = 2**27


def block_values(blocks: Tensor) -> Tensor:
    """Singular values of (..., r, c), descending: (..., min(r, c)), real."""
    if min(blocks.shape[-2:]) == 1:  # a row or a column: its length
        length: Tensor = torch.linalg.vector_norm(blocks, dim=(-2, -1))
        return length[..., None]
    try:
        values: Tensor = torch.linalg.svdvals(blocks)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # divide and conquer can fail where the QR iteration does not
        values = torch.stack([_qr_values(block) for block in blocks.flatten(0, -3)])
        values = values.to(blocks.device).reshape(*blocks.shape[:-2], -1)
    return values


def _qr_values(block: Tensor) -> Tensor:
    array = block.cpu().numpy()
    return torch.from_numpy(svd(array, compute_uv=False, lapack_driver="gesvd"))
