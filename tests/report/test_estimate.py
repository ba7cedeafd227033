"""What is said of an analysis before it: which rows, which steps, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import convspec as cs
from convspec.forecast.machine import Machine
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES
from convspec.report.row_cost import WORST_CASE

ALWAYS = ["krylov", WORST_CASE, NORM, QUANTITIES, ESTIMATES]


def operator(size: int = 8, **given: Any) -> cs.ConvOperator:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64)
    return cs.ConvOperator(weight, size, padding=1, **given)


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 5)
    return nn.Sequential(*layers)


# -- operators --------------------------------------------------------------------------


def test_methods_that_are_exact_for_an_operator() -> None:
    assert [row.name for row in cs.estimate(operator())] == ["dense", *ALWAYS]
    torus = operator(padding_mode="circular")
    assert [row.name for row in cs.estimate(torus)] == ["fourier", "dense", *ALWAYS]


def test_memory_of_spectra_is_that_of_their_plans() -> None:
    op = operator(padding_mode="circular")
    found = cs.estimate(op)
    for method, k in (("fourier", None), ("dense", None), ("krylov", 1)):
        assert found[method].memory == cs.explain(op, k, method=method).memory


def test_methods_beyond_the_limit_are_marked() -> None:
    found = cs.estimate(operator(64), max_bytes="1 MiB")
    assert "beyond max_bytes = 1 MiB" in found["dense"].note
    assert "8,192 values" in found["dense"].note
    assert found["dense"].seconds > found[NORM].seconds
    assert found.memory <= 2**20


def test_what_is_exact_takes_no_bounds() -> None:
    """Of a small operator analyze takes the spectrum and the worst case alone."""
    found = cs.estimate(operator())
    steps = found["dense"].seconds + found[WORST_CASE].seconds
    assert found.seconds == pytest.approx(steps)
    large = cs.estimate(operator(300))
    steps = sum(large[name].seconds for name in (WORST_CASE, NORM, QUANTITIES, ESTIMATES))
    assert large.seconds == pytest.approx(steps)


def test_more_effort_is_said_and_takes_longer() -> None:
    op = operator(100)
    quick, usual, thorough = (
        cs.estimate(op, effort=effort) for effort in ("quick", "default", "thorough")
    )
    assert "0.01" in quick[NORM].note
    assert "1e-06" in thorough[NORM].note
    assert quick.seconds <= usual.seconds <= thorough.seconds


def test_an_operator_has_its_size() -> None:
    with pytest.raises(TypeError, match="an operator has its size"):
        cs.estimate(operator(), (2, 8, 8))
    with pytest.raises(TypeError, match="an operator has its size"):
        cs.estimate(operator(), inputs=torch.zeros(1, 2, 8, 8))


def test_composed_maps_are_refused_with_what_to_do() -> None:
    op = operator()
    with pytest.raises(TypeError, match="ask for each of its parts"):
        cs.estimate(op.T @ op)


@pytest.mark.parametrize("method", ["fourier", "dense", "krylov"])
def test_a_plan_says_its_seconds(method: str) -> None:
    op = operator(padding_mode="circular")
    plan = cs.explain(op, 1 if method == "krylov" else None, method=method)
    assert plan.seconds == cs.estimate(op)[method].seconds


def test_a_plan_of_a_composed_map_says_its_seconds_too() -> None:
    op = operator()
    few, many = cs.explain(op.T @ op), cs.explain(operator(16).T @ operator(16))
    assert 0 < few.seconds < many.seconds


def test_more_values_take_longer() -> None:
    op = operator(100)
    one, many = (cs.explain(op, k, method="krylov").seconds for k in (1, 50))
    assert 0 < one < many


# -- models -----------------------------------------------------------------------------


def test_rows_are_those_of_the_report() -> None:
    found, report = cs.estimate(model(), (3, 9, 9)), cs.analyze(model(), (3, 9, 9))
    assert [row.name for row in found] == [row.name for row in report]
    for cost, row in zip(found, report, strict=True):
        assert cost.note == f"spectrum by {row.method}"
        assert [step.name for step in cost.steps] == [WORST_CASE, row.method]
        assert cost.seconds == pytest.approx(sum(step.seconds for step in cost.steps))


def test_rows_that_are_enclosed_have_the_steps_of_bounds() -> None:
    (row,) = cs.estimate(nn.Conv2d(16, 16, 3, padding=1), (16, 96, 96))
    assert row.note == "enclosed"
    assert [step.name for step in row.steps] == [WORST_CASE, NORM, QUANTITIES, ESTIMATES]


def test_a_kernel_of_two_rows_is_counted_once() -> None:
    conv = nn.Conv1d(1, 1, 3)
    first, second = cs.estimate(nn.Sequential(conv, conv), (1, 9))
    assert (first.name, second.name) == ("0 [9]", "0 [7]")
    assert [step.name for step in first.steps] == [WORST_CASE, "dense"]
    assert [step.name for step in second.steps] == ["dense"]


def test_rows_that_analyze_refuses_say_so() -> None:
    layer = nn.Conv1d(1, 1, 3)
    with torch.no_grad():
        layer.weight[0, 0, 0] = torch.nan
    (row,) = cs.estimate(layer, (1, 9))
    assert (row.seconds, row.memory) == (0.0, 0)
    assert "finite" in row.note


def test_layers_side_by_side_share_the_cores() -> None:
    found = cs.estimate(model(), (3, 64, 64))
    seconds = [row.seconds for row in found]
    cores = found.machine.cores
    assert found.seconds == pytest.approx(max(sum(seconds) / cores, *seconds))
    assert max(row.memory for row in found) <= found.memory


def test_chosen_layers_and_linear_ones() -> None:
    both = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(14, 3))
    assert [row.name for row in cs.estimate(both, (1, 9))] == ["0"]
    assert [row.name for row in cs.estimate(both, (1, 9), linear=True)] == ["0", "2"]
    found = cs.estimate(both, inputs=torch.zeros(1, 1, 9), linear=True, layers="2")
    assert [row.name for row in found] == ["2"]


def test_the_machine_is_kept_with_what_analyze_stores(tmp_path: Path) -> None:
    found = cs.estimate(model(), (3, 9, 9), cache=tmp_path)
    assert (tmp_path / "machine.json").exists()
    cs.analyze(model(), (3, 9, 9), cache=tmp_path)
    assert cs.estimate(model(), (3, 9, 9), cache=tmp_path) == found


def test_a_slower_machine_takes_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Machine.here()
    slow = replace(here, call=2 * here.call, block=2 * here.block)
    usual = cs.estimate(model(), (3, 64, 64))
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: slow))
    assert cs.estimate(model(), (3, 64, 64)).seconds == pytest.approx(2 * usual.seconds)


@pytest.mark.parametrize("subject", [None, 3, "model.pt", {"weight": 1}], ids=str)
def test_what_is_no_model_is_refused(subject: Any) -> None:
    with pytest.raises((TypeError, cs.UnreadableModel)):
        cs.estimate(subject, (3, 9, 9))


def test_effort_is_one_of_its_words() -> None:
    with pytest.raises(ValueError, match="effort must be one of"):
        cs.estimate(operator(), effort="lazy")


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="the cache must be a folder"):
        cs.estimate(operator(), cache=tmp_path / "file")
