"""The same kernel in another padding mode."""

from __future__ import annotations

import pytest
import torch

import convspec as cs
from tests.gaussian import gaussian

MODES = ("zeros", "circular", "reflect", "replicate")
GIVEN = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "groups": 2}


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("behind", MODES)
def test_it_is_the_operator_built_anew(before: str, behind: str) -> None:
    weight, bias = gaussian(0, 4, 2, 3, 2), gaussian(1, 4)
    one, other = (
        cs.ConvOperator(weight, (6, 5), bias=bias, padding_mode=mode, **GIVEN)
        for mode in (before, behind)
    )
    found = one.with_padding_mode(behind)
    assert torch.equal(found.to_dense(), other.to_dense())
    assert torch.equal(found.offset, other.offset)
    assert torch.equal(one.T.with_padding_mode(behind).to_dense(), other.to_dense().T)


def test_the_bias_at_a_border_stays() -> None:
    layer = torch.nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1, output_padding=1)
    op = cs.ConvOperator.from_layer(layer, 5)
    assert torch.equal(op.with_padding_mode("zeros").to_dense(), op.to_dense())


@pytest.mark.parametrize(
    ("mode", "words"), [("mirror", "padding_mode must be one of"), ("reflect", "reflect")]
)
def test_what_is_no_padding_is_refused(mode: str, words: str) -> None:
    op = cs.ConvOperator(gaussian(0, 1, 1, 9), 4, padding=4)
    with pytest.raises(cs.GeometryError, match=words):
        op.with_padding_mode(mode)
