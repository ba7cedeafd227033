"""What a report says of kernels alone: the worst case, and PyTorch's reshaped norm."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from convspec.report.kernel_norms import reshaped_norm
from convspec.report.model import ModelReport
from tests.other_layer import OtherConvolution

KEYS = [
    "worst_case_lower",
    "worst_case_upper",
    "worst_case_assumptions",
    "reshaped_lower",
    "reshaped_upper",
    "norm_over_reshaped_lower",
    "norm_over_reshaped_upper",
]
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "zeros": lambda: nn.Conv2d(3, 4, 3, padding=1),
    "strided": lambda: nn.Conv2d(3, 2, (3, 2), stride=2, padding=1),
    "pointwise": lambda: nn.Conv2d(3, 5, 1),
    "circular": lambda: nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"),
    "reflect": lambda: nn.Conv2d(3, 3, 3, padding=2, padding_mode="reflect"),
    "replicate": lambda: nn.Conv2d(3, 3, 5, padding=2, padding_mode="replicate"),
    "depthwise": lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3),
    "dilated": lambda: nn.Conv2d(3, 2, 3, dilation=2),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1),
    "transposed groups": lambda: nn.ConvTranspose2d(3, 6, 3, stride=2, groups=3),
}


def only(report: cs.ModelReport) -> cs.LayerReport:
    (row,) = report
    return row


def normal(name: str) -> nn.Module:
    """A layer with normal weights in float64."""
    torch.manual_seed(list(LAYERS).index(name))
    layer = LAYERS[name]().double()
    nn.init.normal_(layer.weight)
    return layer


@pytest.fixture(scope="module", params=LAYERS)
def analyzed(request: pytest.FixtureRequest) -> tuple[nn.Module, cs.LayerReport]:
    layer = normal(request.param)
    return layer, only(cs.analyze(layer, (3, 7, 6)))


def test_the_worst_case_is_that_of_the_layer(
    analyzed: tuple[nn.Module, cs.LayerReport],
) -> None:
    layer, row = analyzed
    alone = cs.worst_case_norm(layer, rtol=1e-4)
    # what the layer has at this size, the supremum has
    lower = max(alone.lower, row.norm.lower)
    assert (row.worst_case.lower, row.worst_case.upper) == (lower, alone.upper)
    assert row.worst_case.assumptions == alone.assumptions
    assert row.left_out == ()


def test_no_norm_is_above_the_worst_case(
    analyzed: tuple[nn.Module, cs.LayerReport],
) -> None:
    _, row = analyzed
    assert row.norm.lower <= row.worst_case.upper


def test_reshaped_is_what_torch_divides_by(
    analyzed: tuple[nn.Module, cs.LayerReport],
) -> None:
    """After enough power iterations torch's own layer is the old one over that norm."""
    layer, row = analyzed
    before = layer.weight.detach().clone()
    normed = nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=2000)
    after = normed.weight.detach()  # in training mode torch iterates here
    nn.utils.parametrize.remove_parametrizations(
        layer, "weight", leave_parametrized=False
    )
    with torch.no_grad():
        layer.weight.copy_(before)
    low, high = row.reshaped
    assert 0 < low <= high <= (1 + 1e-9) * low
    assert torch.allclose(after, before / low, rtol=1e-6, atol=0)


def test_the_ratio_is_the_norm_that_spectral_norm_leaves(
    analyzed: tuple[nn.Module, cs.LayerReport],
) -> None:
    layer, row = analyzed
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight /= row.reshaped[0]
    after = only(cs.analyze(layer, (3, 7, 6), worst_case_seconds=0)).norm
    with torch.no_grad():
        layer.weight.copy_(before)
    low, high = row.norm_over_reshaped
    assert low <= high <= (1 + 1e-9) * low
    assert after.lower <= (1 + 1e-9) * high
    assert after.upper >= (1 - 1e-9) * low


def test_one_group_is_at_most_the_worst_case(
    analyzed: tuple[nn.Module, cs.LayerReport],
) -> None:
    _, row = analyzed
    if row.operator.geometry.groups == 1:
        assert row.reshaped[0] <= row.worst_case.upper


@pytest.mark.parametrize("name", ["zeros", "strided"])
def test_the_worst_case_is_reached_by_large_inputs(name: str) -> None:
    layer = normal(name)
    small = only(cs.analyze(layer, (3, 5, 5)))
    large = only(cs.analyze(layer, (3, 60, 60), phases=0))
    assert small.worst_case == large.worst_case
    assert small.norm.upper < 0.99 * small.worst_case.lower
    assert large.norm.lower > 0.99 * large.worst_case.upper


def test_box_and_spike() -> None:
    """A 3 x 3 box of ones: reshaped 3, worst case 9, off by 3; a depthwise stack."""
    box = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    nn.init.ones_(box.weight)
    row = only(cs.analyze(box, (1, 24, 24)))
    assert row.reshaped == pytest.approx((3, 3))
    assert 9 in row.worst_case
    assert row.worst_case.gap < 1e-12
    # 1 + 2 cos(pi / 25) per axis
    assert row.norm_over_reshaped == pytest.approx(
        [(1 + 2 * math.cos(math.pi / 25)) ** 2 / 3] * 2
    )
    stack = nn.Conv2d(4, 4, 1, groups=4, bias=False)
    nn.init.ones_(stack.weight)
    row = only(cs.analyze(stack, (4, 3, 3)))
    assert 1 in row.worst_case
    assert row.reshaped == pytest.approx((2, 2))  # the column (1, 1, 1, 1)
    assert row.norm_over_reshaped == pytest.approx((0.5, 0.5))


def test_zero_weights_have_no_ratio() -> None:
    layer = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(layer.weight)
    row = only(cs.analyze(layer, (1, 5, 5)))
    assert row.reshaped == (0, 0)
    assert row.norm_over_reshaped is None
    assert (row.worst_case.lower, row.worst_case.upper) == (0, 0)
    assert row.to_dict()["norm_over_reshaped_lower"] is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.complex64], ids=str)
def test_reshaped_norm_of_other_precisions(dtype: torch.dtype) -> None:
    weight = torch.randn(2, 3, 3, dtype=dtype, generator=seeded(4))
    low, high = reshaped_norm(cs.ConvOperator(weight, 9))
    exact = np.linalg.norm(weight.to(torch.complex128).flatten(1).numpy(), 2)
    assert low <= exact * (1 + 1e-14)
    assert exact <= high * (1 + 1e-14)
    assert high - low <= 1e-12 * exact


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- files ------------------------------------------------------------------------------


def test_files_hold_both_ends(tmp_path: Path) -> None:
    report = cs.analyze(normal("zeros"), (3, 7, 6))
    row = only(report)
    report.to_json(tmp_path / "report.json")
    report.to_csv(tmp_path / "layers.csv")
    (read,) = json.loads((tmp_path / "report.json").read_text())["layers"]
    with (tmp_path / "layers.csv").open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    expected = [
        row.worst_case.lower,
        row.worst_case.upper,
        row.worst_case.assumptions,
        *row.reshaped,
        *row.norm_over_reshaped,
    ]
    assert [read[key] for key in KEYS] == expected
    assert [line[key] for key in KEYS] == [str(value) for value in expected]


def test_layers_not_supported_have_none(tmp_path: Path) -> None:
    found = only(cs.analyze(OtherConvolution(1, 1, 3), (1, 5, 5))).to_dict()
    assert [found[key] for key in KEYS] == [None] * len(KEYS)


def test_the_table_is_not_too_wide() -> None:
    """180 characters hold a layer of real size with every number bounded."""
    layer = nn.Conv2d(64, 128, 3, stride=2, padding=1, groups=32)
    model = nn.Sequential()
    model.add_module("features_17_conv_1_0", layer)
    torch.manual_seed(0)
    limits: dict[str, Any] = {"max_flops": 1e9, "worst_case_seconds": 0.01}
    report = cs.analyze(model, (64, 112, 112), **limits)
    header, rule, row = repr(report).splitlines()[:3]
    assert ".." in row
    assert len(rule) <= 180
    for words in ("worst case", "reshaped", "circular"):
        assert words in header


def test_transposed_layers_are_named_so_in_the_table() -> None:
    text = repr(cs.analyze(normal("transposed"), (3, 4, 4)))
    assert "3x3 s2 p1 transposed" in text.splitlines()[2]


# -- budgets ----------------------------------------------------------------------------


def test_a_budget_that_ended_the_search_is_stated() -> None:
    layer = normal("zeros")
    report = cs.analyze(layer, (3, 7, 6), worst_case_seconds=1e-9)
    row = only(report)
    assert not row.worst_case.converged
    (words,) = row.left_out
    assert words.startswith("worst case to a relative gap of ")
    assert words.endswith(" only, the search was ended by worst_case_seconds=1e-09")
    assert f"Conv2d: {words}" in repr(report).splitlines()
    assert row.to_dict()["left_out"] == words
    done = cs.worst_case_norm(layer)
    assert row.worst_case.lower <= done.upper
    assert row.worst_case.upper >= done.lower
    assert row.worst_case.gap > done.gap


def test_no_search() -> None:
    row = only(cs.analyze(normal("zeros"), (3, 7, 6), worst_case_seconds=0))
    assert row.worst_case is None
    assert row.left_out == ()
    assert row.reshaped is not None
    found = row.to_dict()
    assert found["worst_case_lower"] is found["worst_case_upper"] is None


def test_no_search_beyond_max_bytes() -> None:
    row = only(cs.analyze(normal("zeros"), (3, 3, 3), max_bytes=5000))
    assert row.worst_case is None
    assert row.left_out[-1].startswith("no worst case: ")
    assert "must fit max_bytes = 4.883 KiB" in row.left_out[-1]
    assert row.left_out[-1].endswith(", or raise max_bytes")


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_refuses_seconds(seconds: float) -> None:
    with pytest.raises(ValueError, match="worst_case_seconds must be at least 0"):
        cs.analyze(nn.Conv1d(1, 1, 3), (1, 9), worst_case_seconds=seconds)


def test_a_layer_on_two_sizes_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[cs.ConvOperator] = []
    module = __import__("sys").modules["convspec.report.kernel_norms"]
    inner = module.kernel_norms

    def counted(op: cs.ConvOperator, *limits: Any) -> Any:
        searched.append(op)
        return inner(op, *limits)

    monkeypatch.setattr(module, "kernel_norms", counted)
    conv = nn.Conv1d(1, 1, 3, padding=1)
    model = nn.ModuleList([conv])
    model.forward = lambda x: (conv(x), conv(x[..., ::2]))
    report: ModelReport = cs.analyze(model, (1, 8))
    first, second = report
    assert len(searched) == 1
    assert first.worst_case == second.worst_case


def test_the_report_keeps_no_gradients() -> None:
    row = only(cs.analyze(normal("zeros"), (3, 7, 6)))
    assert not row.worst_case.value.requires_grad
