"""Norms of operators of whose size no vector fits, against dense matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import convspec as cs
from convspec.bounds.spectral_norm.smaller import smaller_images
from convspec.operators.submatrix import is_submatrix
from convspec.spectrum.krylov.largest import krylov_bytes
from tests.enclosures import norm_enclosure
from tests.gaussian import gaussian

# shape of the weight, size, other arguments
CASES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "1-d": ((3, 2, 5), 120, {"padding": 2}),
    "2-d": ((2, 2, 3, 3), (16, 14), {"padding": 1}),
    "3-d": ((2, 1, 3, 3, 3), (8, 8, 7), {"padding": 1}),
    "stride": ((2, 3, 3), 160, {"padding": 1, "stride": 2}),
    "stride, pixels unread": ((2, 3, 3), 161, {"stride": 3}),
    "more padding": ((2, 2, 3), 100, {"padding": 2}),
    "no padding": ((2, 2, 3), 100, {}),
    "one side": ((2, 2, 3), 100, {"padding": ((2, 0),)}),
    "groups": ((4, 2, 3), 80, {"padding": 1, "groups": 2}),
    "transposed": ((3, 2, 4), 60, {"stride": 2, "padding": 1, "transposed": True}),
    "one axis of one tap": ((2, 2, 3, 1), (20, 6), {"padding": (1, 0)}),
}


def by_smaller_image(bound: cs.Bound) -> bool:
    return "an image of" in bound.assumptions


def bounds(op: cs.ConvOperator) -> Iterator[cs.Bound]:
    """Of less and less memory, which axes that factor out need not."""
    for share in (0.7, 0.4, 0.2, 0.1):
        held = int(share * krylov_bytes(op, 1, 0))
        yield cs.spectral_norm(op, 1e-4, max_bytes=held)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_norm_is_enclosed(case: str, dtype: torch.dtype) -> None:
    shape, size, given = CASES[case]
    op = cs.ConvOperator(gaussian(3, *shape, dtype=dtype), size, **given)
    bound = next(filter(by_smaller_image, bounds(op)))
    lower, upper = norm_enclosure(op.to_dense().numpy())
    assert bound.lower <= upper
    assert bound.upper >= lower
    assert bound.gap < 0.3


@pytest.mark.parametrize("case", CASES)
def test_smaller_images_are_submatrices(case: str) -> None:
    shape, size, given = CASES[case]
    op = cs.ConvOperator(gaussian(3, *shape), size, **given)
    before = op
    images = [*smaller_images(op)]
    assert images
    for small in images:
        assert is_submatrix(small, op)
        assert math.prod(small.shape) < math.prod(before.shape)
        before = small


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_padding_is_refused(mode: str) -> None:
    op = cs.ConvOperator(gaussian(3, 2, 2, 3), 250, padding=1, padding_mode=mode)
    with pytest.raises(cs.TooLargeError, match="the fewest Krylov vectors"):
        cs.spectral_norm(op, max_bytes=2**15)


def test_nothing_fits() -> None:
    op = cs.ConvOperator(gaussian(3, 2, 2, 3), 100, padding=1)
    with pytest.raises(cs.TooLargeError, match="the fewest Krylov vectors"):
        cs.spectral_norm(op, max_bytes=100)


def test_few_operations_take_a_smaller_image() -> None:
    op = cs.ConvOperator(gaussian(3, 2, 2, 3), 2000, padding=1)
    sizes = [
        int(bound.assumptions.rpartition(" ")[2])
        for flops in (1e5, 1e12)
        for bound in [cs.spectral_norm(op, 1e-4, max_bytes=2**17, max_flops=flops)]
    ]
    assert sizes[0] < sizes[1]


def test_a_row_has_a_norm_where_its_vectors_do_not_fit() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(4, 4, 3, padding=1)
    (row,) = cs.analyze(layer, (4, 90, 90), max_bytes=2**21)
    whole = cs.spectral_norm(cs.ConvOperator.from_layer(layer, 90), 1e-6)
    assert row.norm.lower <= whole.upper
    assert whole.lower <= row.norm.upper
    assert row.norm.gap < 1e-2
    assert any("the search was ended by max_bytes" in words for words in row.left_out)
