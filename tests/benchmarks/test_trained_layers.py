"""The comparison of trained layers with ARPACK, on a small kernel."""

from __future__ import annotations

import pytest

from benchmarks import trained_layers
from benchmarks.__main__ import main
from benchmarks.problem import Method, Problem, Result, Target, Timing
from benchmarks.runner import run
from benchmarks.trained_layers import LAYERS, line, problem, text
from tests.gaussian import gaussian


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer of three channels instead of the trained ones."""
    layers = {"small": (lambda: gaussian(0, 4, 3, 3, 3), 12, 1)}
    monkeypatch.setattr(trained_layers, "LAYERS", layers)
    monkeypatch.setattr("benchmarks.__main__.LAYERS", layers)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [1, 20])
def test_both_are_accurate_before_they_are_timed(count: int) -> None:
    result = run(problem("small", count), 1)
    assert result.accurate
    assert all(timing.median for timing in result.timings)
    assert line(result).startswith("small, 3 -> 4, 3x3, 12 x 12")


@pytest.mark.usefixtures("small")
def test_the_table_ends_with_the_mean_and_the_least(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["trained-layers", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith("mean ")
    assert printed[-1].endswith("aim  10.0x")


def test_means_are_geometric() -> None:
    results = [_result(8.0), _result(2.0)]
    last = text(1, results).splitlines()[-1]
    assert last == "mean   4.0x, least   2.0x, aim  10.0x"


def _result(seconds: float) -> Result:
    ours, other = Method("convspec", "", float), Method("svds arpack", "", float)
    task = Problem("a", "a", (ours, other), float, Target())
    return Result(task, (Timing(ours, 0.1, (1.0,)), Timing(other, 0.1, (seconds,))))


def test_there_are_twelve_layers_of_three_networks() -> None:
    assert len(LAYERS) == 12
    assert {name.split()[0] for name in LAYERS} == {"MTCNN", "CRAFT", "english_g2"}


def test_other_counts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trained-layers", "7"]) == 2
    assert "counts are 1, 20; got 7" in capsys.readouterr().out
