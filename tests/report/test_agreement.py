"""All certified ends of one number meet, whatever the layers and the budgets are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import convspec as cs
from convspec.operators.submatrix import is_submatrix
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.agreement import agreed, met, supremum_of
from tests.gaussian import gaussian

MODES = ("zeros", "circular", "reflect", "replicate")
BUDGETS: tuple[dict[str, Any], ...] = (
    {"effort": "quick"},
    {"effort": "default"},
    {"norm_flops": 1e5},
    {"norm_flops": 0.0, "phases": 4},
    {"envelope_flops": 0.0},
    {"worst_case_flops": 1e4},
    {"worst_case_flops": 0.0, "phases": 0},
    {"max_bytes": 2**18},
    {"seconds": 1e-3},
)
# what rounding leaves of quantities that are computed from all singular values
SLACK = 1e-9


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Conv2d, tuple[int, ...]]:
    """A layer of few channels, and an image."""
    mode = draw(st.sampled_from(MODES))
    kernel = draw(st.integers(1, 4))
    most = 4 if mode == "zeros" else 2
    groups = draw(st.sampled_from((1, 2)))
    layer = nn.Conv2d(
        2,
        2 * draw(st.integers(1, 2)),
        kernel,
        stride=draw(st.integers(1, 2)),
        padding=draw(st.integers(0, most)),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        padding_mode=mode,
        bias=False,
    )
    with torch.no_grad():
        layer.weight.copy_(gaussian(draw(st.integers(0, 99)), *layer.weight.shape))
    sizes = draw(st.tuples(st.integers(8, 11), st.integers(8, 11)))
    return layer, (2, *sizes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layers(), st.sampled_from(BUDGETS))
def test_no_end_excludes_another_or_the_truth(
    drawn: tuple[nn.Conv2d, tuple[int, ...]], budget: dict[str, Any]
) -> None:
    layer, shape = drawn
    (row,) = cs.analyze(layer, shape, **{"max_flops": 0.0, **budget})
    values = np.linalg.svd(
        row.operator.to(torch.float64).to_dense().detach().numpy(), compute_uv=False
    )
    most = float(values[0])
    error = 1e-13 * most * max(row.operator.shape)
    assert row.norm.lower - error <= most <= row.norm.upper + error
    assert row.norm.upper <= row.frobenius_norm * (1 + 1e-12)
    if row.worst_case is not None:
        assert row.norm.upper <= row.worst_case.upper
        assert row.norm.lower <= row.worst_case.lower
    if row.envelope is None or row.spectrum is not None:
        return
    assert tuple(row.envelope.norm) == tuple(row.norm)
    squares = values**2
    share = values / values.sum()
    truth = {
        "stable_rank": squares.sum() / squares[0],
        "nuclear_norm": values.sum(),
        "schatten_4": (squares**2).sum() ** 0.25,
        "participation_ratio": squares.sum() ** 2 / (squares**2).sum(),
        "effective_rank": np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()),
    }
    for name, number in truth.items():
        low, high = row.known.readings[name].ends
        assert low * (1 - SLACK) <= number <= high * (1 + SLACK), name


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: ",".join(b))
def test_rows_of_one_kernel_on_several_sizes_agree(budget: dict[str, Any]) -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
            with torch.no_grad():
                self.conv.weight.copy_(gaussian(0, 2, 2, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            while min(x.shape[-2:]) > 6:
                x = x[..., ::2, ::2]
                y = y.sum() + self.conv(x)
            return y

    rows = list(cs.analyze(Pyramid(), (2, 24, 20), **{"max_flops": 2e7, **budget}))
    assert len(rows) == 3
    for large, small in pairwise(rows):
        assert is_submatrix(small.operator, large.operator)
        assert not is_submatrix(large.operator, small.operator)
        assert small.norm.lower <= large.norm.lower
        assert small.norm.upper <= large.norm.upper
        if large.worst_case is not None:
            assert large.worst_case == small.worst_case
            assert large.norm.lower <= large.worst_case.lower


def bound(lower: float, upper: float) -> Bound:
    return Bound(lower, upper, "given", "of nothing", "no one")


def test_ends_meet_and_say_where_they_come_from() -> None:
    assert met(bound(1, 3), Enclosure(0, 5), "other") == bound(1, 3)
    found = met(bound(1, 3), Enclosure(1.5, 2), "other")
    assert tuple(found) == (1.5, 2)
    assert found.assumptions == "other"
    assert met(bound(1, 3), Enclosure(2, math.inf), "other").assumptions == "of nothing"


def test_ends_that_exclude_one_another_are_an_error() -> None:
    with pytest.raises(ValueError, match="ends must be in order"):
        met(bound(1, 2), Enclosure(3, 4), "other")


@pytest.mark.parametrize(
    ("geometry", "part"),
    [
        ({"padding": 1}, True),
        ({"padding": 0}, True),
        ({"padding": 2, "stride": 2}, True),
        ({"padding": 1, "padding_mode": "circular"}, False),
        ({"padding": 1, "padding_mode": "reflect"}, False),
    ],
    ids=["padded", "valid", "strided", "circular", "reflect"],
)
def test_parts_are_submatrices(geometry: dict[str, Any], part: bool) -> None:
    weight = gaussian(1, 2, 1, 3)
    small, large = (cs.ConvOperator(weight, size, **geometry) for size in (7, 10))
    assert is_submatrix(small, large) == part
    assert not is_submatrix(small.T, large)
    norms = [bound(*2 * [cs.spectrum(op).norm]) for op in (small, large)]
    if part:
        rows, columns = small.output_shape[1], small.input_shape[1]
        block = large.to_dense().reshape(2, -1, 1, 10)[:, :rows, :, :columns]
        whole = small.to_dense().reshape(2, -1, 1, 7)
        assert torch.equal(block, whole)
        assert norms[0].lower <= norms[1].lower
    wide = [bound(0, 9), bound(norms[1].lower, norms[1].upper)]
    found = agreed(wide, [small, large])
    assert found[0].upper == (norms[1].upper if part else 9)


def test_a_supremum_is_at_least_what_was_seen() -> None:
    worst = cs.worst_case_norm(gaussian(2, 2, 2, 3), rtol=0.5)
    higher = bound((worst.lower + worst.upper) / 2, worst.upper)
    assert supremum_of(worst, [bound(0, 1)]) == worst
    assert supremum_of(worst, [bound(0, 1), higher]).lower == higher.lower
