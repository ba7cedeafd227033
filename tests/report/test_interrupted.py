"""Ctrl-C during an analysis: what is complete is kept, and said to be partial."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import convspec as cs
from convspec.report import steps
from tests.cache.nets import LIMITS, SHAPE, mixed
from tests.cache.same import assert_same_reports, assert_same_rows


@pytest.fixture(scope="module")
def whole() -> cs.ModelReport:
    return cs.analyze(mixed(), SHAPE, **LIMITS)


def interrupted(after: int, cache: Path | None = None) -> cs.Interrupted:
    """What an analysis raises whose user types Ctrl-C after so many steps."""

    def progress(done: int, *_: object) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(cs.Interrupted) as caught:
        cs.analyze(mixed(), SHAPE, progress=progress, cache=cache, **LIMITS)
    return caught.value


@pytest.mark.parametrize("after", range(10))
def test_rows_that_are_complete_are_as_ever(after: int, whole: cs.ModelReport) -> None:
    error = interrupted(after)
    report = error.report
    assert report.partial
    assert [row.name for row in report] == [row.name for row in whole]
    complete = [row for row in report if "interrupted" not in "".join(row.left_out)]
    words = f"interrupted when {len(complete)} of {len(whole)} rows were complete"
    assert str(error).startswith(words)
    assert report.notes[0] == f"partial: {words}"
    for row in complete:
        assert_same_rows(row, whole[row.name])
    for row, full in zip(report, whole, strict=True):
        if row.norm is None and row.operator is not None:
            assert row.reason in ("not analysed: interrupted", "no norm: interrupted")
        elif row.norm is not None:
            assert row.norm.lower <= full.norm.upper
            assert row.norm.upper >= full.norm.lower
    if after == 0:
        assert [row.name for row in complete] == ["5.broken"]
    norms = sum(row.norm is not None for row in report)
    assert norms == min(after, len(whole) - 1)


def test_after_the_last_step_nothing_is_partial(whole: cs.ModelReport) -> None:
    steps = []
    cs.analyze(mixed(), SHAPE, progress=lambda *said: steps.append(said), **LIMITS)
    report = interrupted(steps[-1][0]).report
    assert not report.partial
    assert_same_reports(report, whole)


@pytest.mark.parametrize("after", [0, 3, 8])
def test_every_form_says_so(after: int, tmp_path: Path) -> None:
    report = interrupted(after).report
    path = tmp_path / "page.html"
    report.to_html(path)
    for form in (repr(report), report._repr_html_(), path.read_text(), report.to_latex()):
        assert "partial: " in form
    assert "convspec report, partial" in path.read_text()
    assert report.summary().startswith("partial: ")
    assert report.to_dict()["partial"] is True
    assert "interrupted" in report.to_csv()
    report.plot()
    report.to_json(tmp_path / "report.json")
    saved = cs.read_report(tmp_path / "report.json")
    assert saved.partial
    assert list(saved) == [row.name for row in report]


def test_between_the_last_steps(
    monkeypatch: pytest.MonkeyPatch, whole: cs.ModelReport
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "estimates_of", stopped)
    with pytest.raises(cs.Interrupted) as caught:
        cs.analyze(mixed(), SHAPE, **LIMITS)
    row = caught.value.report["0"]
    assert row.left_out[-1] == "no estimates: interrupted"
    assert row.estimates == {}
    assert whole["0"].estimates
    assert tuple(row.norm) == tuple(whole["0"].norm)


def test_a_whole_report_says_nothing(whole: cs.ModelReport, tmp_path: Path) -> None:
    whole.to_html(tmp_path / "page.html")
    written = whole.to_json()
    assert json.loads(written)["partial"] is False
    for form in (repr(whole), whole.to_latex(), (tmp_path / "page.html").read_text()):
        assert "partial" not in form


def test_of_earlier_versions_nothing_is_partial(
    whole: cs.ModelReport, tmp_path: Path
) -> None:
    data = whole.to_dict()
    path = tmp_path / "report.json"
    for value in (None, "yes"):
        del data["partial"]
        if value is None:
            path.write_text(json.dumps(data))
            assert not cs.read_report(path).partial
        data["partial"] = value
    path.write_text(json.dumps(data))
    with pytest.raises(cs.UnreadableModel, match="partial must be true or false"):
        cs.read_report(path)


def test_a_check_of_it_fails(whole: cs.ModelReport) -> None:
    report = interrupted(9).report
    (found,) = cs.check(report, max_norm=1e9, layers="1")
    assert (found.layer, found.quantity, found.certain) == (
        "the report",
        "partial",
        False,
    )
    assert "interrupted" in str(found)
    (found,) = cs.check(whole, against=report, layers="1")
    assert str(found).startswith("the earlier report: is partial")


def test_what_was_stored_is_found(tmp_path: Path, whole: cs.ModelReport) -> None:
    interrupted(6, tmp_path)
    stored = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(stored) >= 6
    assert_same_reports(cs.analyze(mixed(), SHAPE, cache=tmp_path, **LIMITS), whole)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert stored.items() <= after.items()


def test_exceptions_that_are_caught_let_it_pass() -> None:
    assert issubclass(cs.Interrupted, KeyboardInterrupt)
    assert not issubclass(cs.Interrupted, Exception)
    error = pickle.loads(pickle.dumps(cs.Interrupted("words", 3)))
    assert (str(error), error.report) == ("words", 3)


def test_while_the_model_runs_there_is_no_report() -> None:
    class Stopped(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        cs.analyze(Stopped(3, 3, 1), SHAPE)
    assert not isinstance(caught.value, cs.Interrupted)


def test_kernels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convspec.report import kernel_norms

    inner = kernel_norms.worst_case_norm

    def stopped(op: cs.ConvOperator, **given: object) -> object:
        if op.geometry.c_in == 4:
            raise KeyboardInterrupt
        return inner(op, **given)  # type: ignore[arg-type]

    weights = {f"{n}.weight": torch.ones(2, n, 3, 3) for n in (3, 4, 5)}
    torch.save(weights, tmp_path / "weights.pth")
    monkeypatch.setattr(kernel_norms, "worst_case_norm", stopped)
    with pytest.raises(cs.Interrupted, match="when 1 of 3 rows") as caught:
        cs.analyze(cs.open_model(tmp_path / "weights.pth"))
    report = caught.value.report
    assert report["3"].worst_case is not None
    assert report["4"].reason == report["5"].reason == "not analysed: interrupted"
    assert repr(report)
