"""A layer whose steps fail ends its row, not the report."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from convspec.cli import main
from convspec.errors import NotConverged
from convspec.report import kernel_norms, stages, steps
from tests.cache.nets import LIMITS, SHAPE, Twice, mixed
from tests.cache.same import assert_same_rows, timeless

# of ``mixed``: enclosed, exact, exact; the first is the one that fails
FAILING = "0"
STEPS: dict[str, tuple[Any, str]] = {
    "worst case over input sizes": (kernel_norms, "worst_case_norm"),
    "norm": (steps, "norm_within"),
    "other quantities": (steps, "enveloped"),
    "estimates": (steps, "estimates_of"),
    "what follows from the norm": (stages, "ranks"),
}
ERRORS: dict[str, Exception] = {
    "memory": MemoryError("Unable to allocate 1. TiB"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory"),
    "cpu": RuntimeError("DefaultCPUAllocator: can't\nallocate memory: you tried"),
    "large": cs.TooLargeError("it must fit"),
    "converged": NotConverged("not within 10 steps", best=np.ones(3)),
    "lapack": np.linalg.LinAlgError("SVD did not converge"),
    "assertion": AssertionError(),
    "bug": KeyError("x" * 1000),
}
OURS = {"lapack", "assertion", "bug"}
# of what is handled where it is raised
HANDLED = {("norm", "large"), ("worst case over input sizes", "large")}


@pytest.fixture(scope="module")
def undisturbed() -> cs.ModelReport:
    return cs.analyze(mixed(), SHAPE, **LIMITS)


def failing(
    monkeypatch: pytest.MonkeyPatch, room: Any, name: str, error: Exception, size: int
) -> None:
    """Let a function raise for operators with so many input channels."""
    inner: Callable[..., Any] = getattr(room, name)

    def raising(op: cs.ConvOperator, *given: Any, **named: Any) -> Any:
        if op.geometry.c_in == size:
            work = np.zeros(1000)  # which the traceback would hold
            raise error.with_traceback(None) if len(work) else error
        return inner(op, *given, **named)

    monkeypatch.setattr(room, name, raising)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("step", STEPS)
def test_other_rows_are_as_ever(
    monkeypatch: pytest.MonkeyPatch, undisturbed: cs.ModelReport, step: str, kind: str
) -> None:
    if (step, kind) in HANDLED:
        return
    error = ERRORS[kind]
    failing(monkeypatch, *STEPS[step], error, 3)
    report = cs.analyze(mixed(), SHAPE, **LIMITS)
    row, whole = report[FAILING], undisturbed[FAILING]
    assert row.error is error
    (words,) = [said for said in row.left_out if "failed" in said]
    assert words.startswith(f"{step} failed: ")
    assert type(error).__name__ in words
    assert "\n" not in words
    assert len(words) < 240
    assert ("please report it" in words) == (kind in OURS)
    assert row.operator.shape == whole.operator.shape
    assert row.frobenius_norm == whole.frobenius_norm
    assert row.reshaped == whole.reshaped
    assert row.norm is not None
    assert row.norm.upper >= whole.norm.lower
    assert any(f"failed in part, the other rows are complete: {FAILING}" in note
               for note in report.notes)  # fmt: skip
    for one, other in zip(report, undisturbed, strict=True):
        if one.name != FAILING:
            assert one.error is None
            assert_same_rows(one, other)


@pytest.mark.parametrize("step", STEPS)
def test_every_form_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
) -> None:
    failing(monkeypatch, *STEPS[step], MemoryError("no more"), 3)
    report = cs.analyze(mixed(), SHAPE, rank_rtol=0.1, **LIMITS)
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    forms = [repr(report), report._repr_html_(), report.to_json(), report.to_csv(), page]
    for form in forms:
        assert f"{step} failed: MemoryError: no more" in form
    assert report.to_latex().count("\n") > len(report)
    report.plot()
    rows = json.loads(report.to_json())["layers"]
    assert [row["name"] for row in rows] == [row.name for row in report]


def test_an_exact_row_goes_on_with_bounds(
    monkeypatch: pytest.MonkeyPatch, undisturbed: cs.ModelReport
) -> None:
    failing(monkeypatch, steps, "whole_spectrum", MemoryError("no more"), 4)
    report = cs.analyze(mixed(), SHAPE, **LIMITS)
    exact = [row for row in undisturbed if row.spectrum is not None]
    assert len(exact) > 2
    for whole in exact:
        row = report[whole.name]
        assert row.spectrum is None
        assert row.norm.lower <= whole.norm.upper
        assert row.norm.upper >= whole.norm.lower
        assert row.envelope is not None
        assert row.reason == "norm failed: MemoryError: no more"
        assert row.reason in row.left_out


def test_nothing_known_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = AssertionError("of ours")
    rooms = [(steps, "norm_within"), (steps, "certified_frobenius")]
    rooms += [(kernel_norms, "worst_case_norm"), (stages, "reshaped_norm")]
    for room, name in [*rooms, (kernel_norms, "reshaped_norm")]:
        failing(monkeypatch, room, name, error, 3)
    report = cs.analyze(mixed(), SHAPE, energy=0.9, **LIMITS)
    row = report[FAILING]
    assert (row.norm, row.worst_case, row.reshaped, row.method) == (None,) * 3 + ("none",)
    assert row.reason.endswith("failed: AssertionError: of ours; please report it")
    assert row.frobenius_norm > 0
    assert cs.check(report, max_norm=1e9, layers=FAILING)[0].words.startswith(
        "norm is not"
    )
    report.to_html(tmp_path / "page.html")
    report.plot()
    assert row.reason in repr(report)
    assert report.to_csv()
    assert report.to_latex()
    assert report.to_json()


def test_rows_of_one_kernel_share_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def raising(op: cs.ConvOperator, **_: Any) -> None:
        calls.append(op)
        raise MemoryError("no more")

    monkeypatch.setattr(kernel_norms, "worst_case_norm", raising)
    report = cs.analyze(Twice(), (4, 12, 12), **LIMITS)
    rows = [row for row in report if row.operator is not None]
    assert (len(rows), len(calls)) == (2, 1)
    for row in rows:
        assert "worst case over input sizes failed: MemoryError: no more" in row.left_out
        assert row.norm.lower > 0
        assert row.reshaped is not None


def test_ends_that_exclude_one_another_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = steps.norm_within

    def wrong(op: cs.ConvOperator, *given: Any) -> Any:
        found = inner(op, *given)
        if op.geometry.c_in != 3:
            return found
        return cs.Bound(1e6, 1e7, found.name, found.assumptions, found.reference)

    monkeypatch.setattr(steps, "norm_within", wrong)
    row = cs.analyze(mixed(), SHAPE, **LIMITS)[FAILING]
    assert (row.norm, row.envelope, row.worst_case) == (None, None, None)
    assert "ends must be in order" in row.reason
    assert row.reason.endswith("please report it")


def test_the_operator_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    room = import_module("convspec.report.begun")
    failing(monkeypatch, room, "explain", ZeroDivisionError("in here"), 3)
    report = cs.analyze(mixed(), SHAPE, **LIMITS)
    row = report[FAILING]
    assert row.operator is None
    assert row.reason == (
        "the operator failed: ZeroDivisionError: in here; please report it"
    )
    assert f"{FAILING}: {row.reason}" in report.notes


def test_the_traceback_is_kept_and_holds_no_arrays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing(monkeypatch, steps, "norm_within", ValueError("here"), 3)
    error = cs.analyze(mixed(), SHAPE, **LIMITS)[FAILING].error
    frames = [*traceback.walk_tb(error.__traceback__)]
    assert "raising" in [frame.f_code.co_name for frame, _ in frames]
    assert not any("work" in frame.f_locals for frame, _ in frames)


def test_a_failed_step_is_not_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, undisturbed: cs.ModelReport
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, steps, "other_sums", MemoryError("no more"), 3)
        cs.analyze(mixed(), SHAPE, cache=tmp_path, **LIMITS)
    report = cs.analyze(mixed(), SHAPE, cache=tmp_path, **LIMITS)
    assert timeless(report.to_dict()) == timeless(undisturbed.to_dict())


@pytest.mark.parametrize("part", ["other_sums", "enveloped", "circular"])
def test_of_other_quantities_the_parts_that_did_not_fail_are_there(
    part: str, monkeypatch: pytest.MonkeyPatch, undisturbed: cs.ModelReport
) -> None:
    failing(monkeypatch, steps, part, MemoryError("no more"), 3)
    row, whole = cs.analyze(mixed(), SHAPE, **LIMITS)[FAILING], undisturbed[FAILING]
    assert "other quantities failed: MemoryError: no more" in str(row.left_out)
    assert (row.envelope is None) == (part == "enveloped")
    assert (row.circular is None) == (part == "circular")
    exact = row.known.readings["schatten_4"].ends.gap < 1e-9
    assert exact == (part != "other_sums")
    assert whole.known.readings["schatten_4"].ends.gap < 1e-9


def test_what_the_caller_raises_is_raised() -> None:
    def progress(*_: object) -> None:
        raise ZeroDivisionError("of the caller")

    class Broken(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("in the model")

    with pytest.raises(ZeroDivisionError, match="of the caller"):
        cs.analyze(mixed(), SHAPE, progress=progress)
    with pytest.raises((AssertionError, cs.UnreadableModel), match="in the model"):
        cs.analyze(Broken(3, 3, 1), SHAPE)


def test_a_row_of_a_kernel_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(
        {"a.weight": torch.ones(2, 3, 3, 3), "b.weight": torch.ones(2, 4, 3, 3)}, path
    )
    failing(monkeypatch, kernel_norms, "worst_case_norm", MemoryError("no more"), 3)
    report = cs.analyze(cs.open_model(path))
    assert report["a"].reason == "what the kernel says failed: MemoryError: no more"
    assert report["b"].worst_case is not None


def test_the_exit_status_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, steps, "whole_spectrum", MemoryError("no more"), 3)
    assert main(["analyze", "tests.cli.models:small", "--input-shape", "3,8,8"]) == 1
    assert "norm failed: MemoryError: no more" in capsys.readouterr().out
