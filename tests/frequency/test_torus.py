"""Blocks of a torus from tables of waves, and from roots of unity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.frequency import torus
from convspec.frequency.torus import TorusBlocks
from tests.gaussian import gaussian


@pytest.mark.parametrize("limit", [0, 2**22])
def test_blocks_are_the_symbol_but_for_a_factor(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torus, "TABLE_BYTES", limit)
    weight = gaussian(3, 2, 2, 4, 3)
    symbol = cs.ConvOperator(weight, (9, 7), padding=1).symbol()
    shape = (9, 7)
    index = np.indices(shape).reshape(2, -1).T
    found = TorusBlocks(symbol, shape, torch.float64).at(index)
    angle = 2 * np.pi * index / shape
    waves = np.exp(1j * angle @ symbol.lags.T)
    coefficients = symbol.coefficients.to(torch.complex128)
    expected = torch.einsum("jq,grcq->jgrc", torch.from_numpy(waves), coefficients)
    torch.testing.assert_close(found.abs(), expected.abs(), rtol=0, atol=1e-13)
    apart = found / expected  # of modulus 1, the same for all entries of a frequency
    torch.testing.assert_close(
        apart, apart[:, :, :1, :1].expand_as(apart), rtol=0, atol=1e-10
    )
