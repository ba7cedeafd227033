"""Singular values that are 0 by shape: pixels that nothing reads, outputs of padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from torch import nn

import convspec as cs
from convspec.operators.shape_rank import shape_rank
from tests.gaussian import gaussian

# weight, size, arguments, and the rank of almost all weights of that shape
CASES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any], int]] = {
    "1x1 stride 2": ((3, 2, 1, 1), (5, 6), {"stride": 2}, 2 * 9),
    "1x1 stride 2, more outputs": ((2, 3, 1, 1), (5, 6), {"stride": 2}, 2 * 9),
    "stride beyond the kernel": ((4, 1, 2), 9, {"stride": 4}, 4),
    "groups": ((4, 1, 1), 6, {"stride": 3, "groups": 2}, 2 * 2),
    "outputs of padding alone": ((1, 1, 1), 3, {"padding": 2}, 3),
    "nothing is read": ((2, 2, 1), 2, {"padding": 4, "stride": 7}, 0),
    "circular": ((2, 2, 1), 6, {"stride": 2, "padding_mode": "circular"}, 6),
    "transposed": ((2, 3, 1), 4, {"stride": 3, "transposed": True}, 8),
    "full": ((2, 2, 3), 5, {"padding": 1}, 10),
}


@pytest.mark.parametrize("name", CASES)
def test_ranks_are_attained_and_what_is_beyond_is_zero(name: str) -> None:
    shape, size, given, rank = CASES[name]
    op = cs.ConvOperator(gaussian(1, *shape), size, **given)
    dense = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    assert np.linalg.matrix_rank(op.to_dense().numpy()) == shape_rank(op) == rank
    spec = cs.spectrum(op)
    assert spec.zeros == min(op.shape) - rank
    np.testing.assert_array_equal(spec.values[rank:], 0.0)
    # both are rounded, by NumPy as well
    room = spec.error + len(dense) * np.finfo(float).eps * max(1.0, float(dense[0]))
    assert bool((np.abs(spec.values - dense) <= room).all())


def test_smallest_values_and_vectors() -> None:
    op = cs.ConvOperator(gaussian(2, 3, 2, 1), 8, stride=2, padding_mode="circular")
    (least,) = cs.spectrum(op, 1, "smallest", method="dense").values
    assert least == 0.0
    assert cs.spectrum(op, 5).zeros == 0
    some = cs.spectrum(op, 6, "smallest", method="dense")
    assert (some.values[:2] > 0).all()  # min(m, n) is 12, and the rank 8
    assert (some.values[2:] == 0).all()
    assert some.zeros == 4
    spec = cs.spectrum(op, vectors=True)
    assert (spec.values[8:] == 0).all()
    assert (spec.values[:8] > 0).all()


def test_reports_say_so_exactly() -> None:
    (row,) = cs.analyze(nn.Conv2d(2, 4, 1, stride=2), (2, 8, 8))
    found = {
        name: row.quantities[name] for name in ("smallest", "condition_number", "rank")
    }
    assert found == {"smallest": 0.0, "condition_number": math.inf, "rank": 32}
    assert row.to_dict()["smallest_kind"] == "exact"
