"""Small operators of every kind, whose matrices tests look at entry by entry."""

from __future__ import annotations

import torch

import convspec as cs


def gaussian(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    entries = torch.randn(shape, dtype=torch.float64, generator=generator, device="cpu")
    return entries.to(dtype)


OPERATORS = {
    "1d": cs.ConvOperator(gaussian(1, 1, 3), 11, padding=1),
    "2d-strided": cs.ConvOperator(gaussian(3, 2, 3, 2), (5, 4), stride=(2, 1), padding=1),
    "3d": cs.ConvOperator(gaussian(1, 2, 2, 1, 2), (2, 3, 4)),
    "groups": cs.ConvOperator(gaussian(4, 1, 3), 7, groups=2),
    "transposed": cs.ConvOperator(gaussian(2, 3, 3), 6, stride=2, transposed=True),
    "transposed-groups": cs.ConvOperator(
        gaussian(4, 3, 2), 5, groups=2, transposed=True, stride=2
    ),
    "reflect": cs.ConvOperator(gaussian(1, 1, 5), 6, padding=4, padding_mode="reflect"),
    "reflect-2d": cs.ConvOperator(
        gaussian(3, 2, 3, 3), (4, 3), padding=2, padding_mode="reflect"
    ),
    "replicate": cs.ConvOperator(
        gaussian(2, 3, 3), 4, padding=2, padding_mode="replicate"
    ),
    "wrapped": cs.ConvOperator(gaussian(2, 1, 5), 2, padding=2, padding_mode="circular"),
    "negative": cs.ConvOperator(-gaussian(1, 2, 3).abs(), 9),
    "half": cs.ConvOperator(gaussian(2, 1, 3, dtype=torch.float16), 9),
    "many-channels": cs.ConvOperator(gaussian(7, 11, 2), 3),
    "one-entry": cs.ConvOperator(torch.full((1, 1, 1), -2.5), 1),
}
