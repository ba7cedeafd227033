"""Sums over all singular values: exact where they can be, and ranks that follow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from convspec.quantity.enclosure import Enclosure
from convspec.report.columns import BY_NAME
from convspec.report.known import Enclosed
from convspec.report.latex import latex_table
from convspec.report.layer import LayerReport
from convspec.report.sums import certified_sums, ranks
from convspec.spectrum.sums.estimates import Estimated
from tests.gaussian import gaussian

GEOMETRIES: dict[str, dict[str, Any]] = {
    "padded": {"padding": 1},
    "strided": {"padding": 2, "stride": 2},
    "grouped": {"padding": 1, "groups": 2},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "circular": {"padding": 1, "padding_mode": "circular"},
}


def operator(name: str) -> cs.ConvOperator:
    options = GEOMETRIES[name]
    weight = gaussian(3, 4, 4 // options.get("groups", 1), 3, 3)
    return cs.ConvOperator(weight, (8, 7), **options)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_sums_are_those_of_the_singular_values(name: str) -> None:
    op = operator(name)
    squares = np.linalg.svd(op.to_dense().numpy(), compute_uv=False) ** 2
    found = certified_sums(op, 1e9, 2**31)
    exact = {
        "schatten_4": (squares**2).sum() ** 0.25,
        "participation_ratio": squares.sum() ** 2 / (squares**2).sum(),
    }
    assert set(found) == set(exact)
    for key, number in exact.items():
        low, high = found[key]
        assert low * (1 - 1e-13) <= number <= high * (1 + 1e-13)
        assert high - low <= 1e-10 * number


@pytest.mark.parametrize("limits", [(1.0, 2**31), (1e9, 10)], ids=["flops", "bytes"])
def test_sums_that_take_too_much_are_left_out(limits: tuple[float, int]) -> None:
    assert certified_sums(operator("circular"), *limits) == {}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("rank", [1, 2])
def test_floors_of_the_rank_are_at_most_the_rank(name: str, rank: int) -> None:
    """Kernels of low rank in the channels: some singular values are rounding."""
    options = dict(GEOMETRIES[name])
    options.pop("groups", None)
    mixing = gaussian(5, 4, rank) @ gaussian(6, rank, 4)
    weight = mixing[:, :, None, None] * gaussian(7, 3, 3)
    op = cs.ConvOperator(weight, (8, 7), **options)
    spec = cs.spectrum(op, method="dense")
    norm = Enclosure(spec.norm * (1 - 1e-12), spec.norm * (1 + 1e-12))
    known = certified_sums(op, 1e9, 2**31)
    nuclear = float(spec.values.sum())
    known["nuclear_norm"] = Enclosure(nuclear * (1 - 1e-12), nuclear * (1 + 1e-12))
    found = ranks(op, norm, known)
    low, high = found["rank"]
    columns = op.shape[1]
    assert tuple(found["nullity"]) == (columns - high, columns - low)
    assert spec.stable_rank in found["stable_rank"]
    assert 1 < low <= spec.rank() <= high == min(op.shape)


def test_a_rank_of_nothing_known() -> None:
    op = operator("padded")
    found = ranks(op, Enclosure(0.0, 9.0), {})
    assert tuple(found["rank"]) == (1, min(op.shape))
    assert found["stable_rank"].upper == min(op.shape)
    assert ranks(op, Enclosure(0.0, math.inf), {}) == {}
    nothing = cs.ConvOperator(torch.zeros(1, 1, 3), 5)
    assert ranks(nothing, Enclosure(0.0, 0.0), {}) == {}


def test_rows_hold_the_sums() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1)
    (row,) = cs.analyze(layer, (3, 9, 9), max_flops=0.0, phases=0)
    assert row.known.readings["participation_ratio"].ends.gap < 1e-10
    assert row.to_dict()["schatten_4_kind"] == "enclosure"
    exact = cs.spectrum(row.operator)
    low, high = row.quantities["rank"]
    assert row.quantities["participation_ratio"].lower < low <= exact.rank() <= high


def test_estimates_stand_where_ends_are_wide() -> None:
    op = operator("padded")
    norm = cs.spectral_norm(op)
    about = {
        "rank": Estimated(200.0, 3.0, 9.0),
        "nuclear_norm": Estimated(1.0, 0.1, 0.0),
    }
    narrow = {"nuclear_norm": Enclosure(1.0, 1.001)}
    row = LayerReport("a", "Conv2d", 1, op, Enclosed(norm, op.shape, None, narrow, about))
    assert row.estimates == about
    assert BY_NAME["nuclear_norm"].cell(row) == "1..1.001"
    found = row.to_dict()
    assert (found["rank_estimate"], found["rank_standard_error"]) == (200.0, 3.0)
    assert found["rank_bias"] == 9.0
    assert found["log_volume_estimate"] is None
    report = cs.ModelReport((row,), (4, 8, 7))
    assert any(sentence.startswith("~a: an estimate") for sentence in report.legend)
    wide = {"nuclear_norm": Enclosure(1.0, 2.0)}
    row = LayerReport("a", "Conv2d", 1, op, Enclosed(norm, op.shape, None, wide, about))
    assert BY_NAME["nuclear_norm"].cell(row) == "~1"
    assert r"$\approx$ $1.00$" in latex_table([row], ["nuclear_norm"], 3)


def test_exact_rows_have_no_estimates() -> None:
    (row,) = cs.analyze(nn.Conv1d(1, 1, 3), (1, 9))
    assert row.estimates == {}
    assert torch.is_tensor(row.operator.weight)


def test_a_rank_is_at_most_that_by_shape() -> None:
    """A stride leaves the last row and column unread: certified, and the estimate."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(8, 64, 3, stride=2)
    (row,) = cs.analyze(layer, (8, 40, 40), max_flops=1e6, phases=0)
    assert row.quantities["rank"].upper == 8 * 39 * 39
    assert row.quantities["nullity"].lower == 8 * (40 * 40 - 39 * 39)
    assert row.quantities["smallest"] == (0, 0)
    for name, about in row.estimates.items():
        assert about.value in row.quantities[name], name


def test_an_estimated_count_is_printed_as_no_more_than_there_are() -> None:
    """301,056 to four digits are 301,100."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(96, 96, 3, stride=2, padding=1, groups=96)
    (row,) = cs.analyze(layer, (96, 112, 112), max_flops=1e6, phases=0)
    assert min(row.operator.shape) == 301_056
    cell = BY_NAME["rank"].cell(row)
    count, _, total = cell.removeprefix("~").partition(" of ")
    assert cell.startswith("~")
    assert int(count) <= int(total) == 301_056
