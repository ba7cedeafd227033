"""Random kernels and images, the same in every test that names the same seed."""

from __future__ import annotations

import torch


def gaussian(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Independent standard normal entries."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype, device="cpu")
