"""Small operators of every kind, whose matrices tests look at entry by entry."""

from __future__ import annotations

import torch

import convspec as cs
from tests.gaussian import gaussian

OPERATORS = {
    "1d": cs.ConvOperator(gaussian(5, 1, 1, 3), 11, padding=1),
    "2d-strided": cs.ConvOperator(
        gaussian(10, 3, 2, 3, 2), (5, 4), stride=(2, 1), padding=1
    ),
    "3d": cs.ConvOperator(gaussian(8, 1, 2, 2, 1, 2), (2, 3, 4)),
    "groups": cs.ConvOperator(gaussian(8, 4, 1, 3), 7, groups=2),
    "transposed": cs.ConvOperator(gaussian(8, 2, 3, 3), 6, stride=2, transposed=True),
    "transposed-groups": cs.ConvOperator(
        gaussian(9, 4, 3, 2), 5, groups=2, transposed=True, stride=2
    ),
    "reflect": cs.ConvOperator(
        gaussian(7, 1, 1, 5), 6, padding=4, padding_mode="reflect"
    ),
    "reflect-2d": cs.ConvOperator(
        gaussian(11, 3, 2, 3, 3), (4, 3), padding=2, padding_mode="reflect"
    ),
    "replicate": cs.ConvOperator(
        gaussian(8, 2, 3, 3), 4, padding=2, padding_mode="replicate"
    ),
    "symmetric": cs.ConvOperator(
        gaussian(8, 2, 2, 5), 5, padding=4, stride=2, padding_mode="symmetric"
    ),
    "a-mode-for-each-axis": cs.ConvOperator(
        gaussian(9, 3, 2, 3, 2),
        (4, 3),
        padding=((1, 2), (1, 0)),
        padding_mode=("symmetric", "circular"),
    ),
    "wrapped": cs.ConvOperator(
        gaussian(8, 2, 1, 5), 2, padding=2, padding_mode="circular"
    ),
    "negative": cs.ConvOperator(-gaussian(6, 1, 2, 3).abs(), 9),
    "half": cs.ConvOperator(gaussian(6, 2, 1, 3, dtype=torch.float16), 9),
    "many-channels": cs.ConvOperator(gaussian(20, 7, 11, 2), 3),
    "one-entry": cs.ConvOperator(torch.full((1, 1, 1), -2.5), 1),
}
