"""Analyses with a cache: the same report, computed once."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import convspec as cs
from convspec.report import kernel_norms, steps
from convspec.report.stored import StoredSteps
from tests.cache.nets import LIMITS, SHAPE, TIGHT, chain, mixed
from tests.cache.same import assert_same_reports

Analysed = tuple[cs.ModelReport, StoredSteps]


@pytest.fixture
def analysed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Analysed]:
    """A function that analyses with a cache, and tells what was found in it."""
    made: list[StoredSteps] = []
    inner = StoredSteps.at

    def at(folder: Path) -> StoredSteps:
        made.append(inner(folder))
        return made[-1]

    def analyse(model: Any, shape: Any = SHAPE, **given: Any) -> Analysed:
        given = {"cache": tmp_path / "cache", **LIMITS, **given}
        return cs.analyze(model, shape, **given), made[-1]

    monkeypatch.setattr(StoredSteps, "at", at)
    return analyse


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that computes fail the test."""

    def computed(*_: object, **__: object) -> NoReturn:
        pytest.fail("computed")

    parts = ["other_sums", "enveloped", "circular"]
    for name in ("whole_spectrum", "norm_within", *parts, "estimates_of"):
        monkeypatch.setattr(steps, name, computed)
    monkeypatch.setattr(kernel_norms, "kernel_norms", computed)


def entries(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and times of all entries."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.glob("*.npz")
    }


def test_all_kinds_of_rows_are_there() -> None:
    report = cs.analyze(mixed(), SHAPE, **LIMITS)
    methods = {row.method for row in report}
    assert methods == {"fourier", "dense", "envelope", "none"}
    assert any(row.circular is not None for row in report)
    assert any(row.estimates for row in report)
    words = str([row.left_out for row in cs.analyze(mixed(), SHAPE, **TIGHT)])
    for name in ("norm_flops", "worst_case_flops", "envelope by"):
        assert name in words


@pytest.mark.parametrize("limits", [LIMITS, TIGHT], ids=["limits", "tight"])
def test_a_report_is_the_same_with_a_cache_and_from_it(
    analysed: Callable[..., Analysed],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
) -> None:
    plain = cs.analyze(mixed(), SHAPE, **limits)
    first, steps = analysed(mixed(), **limits)
    assert (steps.found, steps.computed > 15) == (0, True)
    assert_same_reports(first, plain)
    before = entries(tmp_path / "cache")
    assert len(before) == steps.computed
    forbid(monkeypatch)
    second, again = analysed(mixed(), **limits)
    assert (again.found, again.computed) == (steps.computed, 0)
    assert_same_reports(second, plain)
    assert entries(tmp_path / "cache") == before


@pytest.mark.parametrize("limits", [LIMITS, TIGHT], ids=["limits", "tight"])
@pytest.mark.parametrize("after", range(0, 20, 3))
def test_an_analysis_goes_on_where_it_was_interrupted(
    analysed: Callable[..., Analysed],
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    after: int,
) -> None:
    inner, done = StoredSteps.keep, [0]

    def interrupted(*given: Any) -> None:
        if done[0] == after:
            raise KeyboardInterrupt
        done[0] += 1
        inner(*given)

    with monkeypatch.context() as patch:
        patch.setattr(StoredSteps, "keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            analysed(mixed(), **limits)
    report, steps = analysed(mixed(), **limits)
    assert steps.found == after
    assert_same_reports(report, cs.analyze(mixed(), SHAPE, **limits))


def test_rows_take_as_long_as_they_took(analysed: Callable[..., Analysed]) -> None:
    model = nn.Conv2d(8, 8, 3, padding=1)
    [first] = analysed(model, (8, 16, 16), max_flops=1e12)[0]
    [second] = analysed(model, (8, 16, 16), max_flops=1e12)[0]
    assert second.seconds > 0.5 * first.seconds


def test_a_changed_weight_is_computed_and_no_other(
    analysed: Callable[..., Analysed], tmp_path: Path
) -> None:
    _, steps = analysed(chain(9))
    changed = chain(9)
    with torch.no_grad():
        changed[4].weight[0, 0, 0, 0] *= 1.0 + 2**-20
    report, again = analysed(changed)
    alone, own = analysed(
        nn.Sequential(changed[4]), (4, 12, 12), cache=tmp_path / "alone"
    )
    assert 0 < again.computed == own.computed < steps.computed
    assert again.found == steps.computed - own.computed
    assert report["4"].norm == alone["0"].norm
    assert_same_reports(report, cs.analyze(changed, SHAPE, **LIMITS))


@pytest.mark.parametrize(
    "given",
    [
        {"effort": "quick"},
        {"max_bytes": "1 GiB"},
        {"envelope_flops": 1e7},
        {"phases": 2},
        {"worst_case_flops": 1e5},
        {"worst_case_flops": 0},
        {"norm_flops": 0},
        {"max_flops": 1e7},
    ],
    ids=str,
)
def test_other_settings_are_another_analysis(
    analysed: Callable[..., Analysed], given: dict[str, Any]
) -> None:
    analysed(mixed())
    report, _ = analysed(mixed(), **given)
    assert_same_reports(report, cs.analyze(mixed(), SHAPE, **{**LIMITS, **given}))
    before = analysed(mixed())[0]
    assert_same_reports(before, cs.analyze(mixed(), SHAPE, **LIMITS))


def test_another_effort_computes_every_norm(analysed: Callable[..., Analysed]) -> None:
    _, steps = analysed(chain(4))
    _, again = analysed(chain(4), effort="quick")
    assert again.found < steps.found + steps.computed
    assert again.computed > 0


def test_names_do_not_matter(
    analysed: Callable[..., Analysed], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed(chain(5))
    forbid(monkeypatch)
    report, _ = analysed(nn.Sequential(nn.Identity(), chain(5)))
    assert [row.name for row in report] == [f"1.{place}" for place in range(5)]


def flipped(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": flipped,
    "truncated": lambda content, draw: content[: draw.randrange(len(content))],
    "empty": lambda content, draw: b"",
    "foreign": lambda content, draw: Path(__file__).read_bytes(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entries_are_computed_anew(
    analysed: Callable[..., Analysed], tmp_path: Path, damage: str
) -> None:
    report, steps = analysed(chain(6))
    before, draw = entries(tmp_path / "cache"), random.Random(0)
    damaged = draw.sample(sorted(before), 7)
    for name in damaged:
        content = DAMAGES[damage](before[name][0], draw)
        (tmp_path / "cache" / name).write_bytes(content)
    found, again = analysed(chain(6))
    assert_same_reports(found, report)
    assert again.computed == 7
    assert again.found == steps.computed - 7
    assert entries(tmp_path / "cache").keys() == before.keys()
    assert analysed(chain(6))[1].computed == 0


def test_an_archive_of_numpy_and_entries_of_other_names(
    analysed: Callable[..., Analysed], tmp_path: Path
) -> None:
    report, steps = analysed(chain(6))
    paths = sorted((tmp_path / "cache").glob("*.npz"))
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)
    with paths[0].open("wb") as file:
        np.savez(file, weights=np.zeros(3))
    found, again = analysed(chain(6))
    assert_same_reports(found, report)
    assert (again.found, again.computed) == (0, steps.computed)
    assert analysed(chain(6))[1].computed == 0


# -- shares, and seconds --------------------------------------------------------------


def test_fewer_operations_are_enough_for_layers_that_changed(
    analysed: Callable[..., Analysed],
) -> None:
    analysed(chain(9), norm_flops=2e11, effort="thorough")
    changed = chain(9)
    with torch.no_grad():
        changed[7].weight.mul_(0.5)
    report, _ = analysed(changed, norm_flops=1e8, effort="thorough")
    plain = cs.analyze(changed, SHAPE, **{**LIMITS, "norm_flops": 1e8}, effort="thorough")
    for row, other in zip(report, plain, strict=True):
        assert row.norm.gap <= other.norm.gap


@pytest.mark.parametrize("seconds", [1e-3, 0.05, 0.3])
def test_an_analysis_without_seconds_is_not_cut_by_one_with(
    analysed: Callable[..., Analysed], seconds: float
) -> None:
    plain = cs.analyze(mixed(), SHAPE, **LIMITS)
    analysed(mixed(), seconds=seconds, worst_case_seconds=seconds)
    assert_same_reports(analysed(mixed())[0], plain)


def test_no_seconds_for_the_worst_case(
    analysed: Callable[..., Analysed], monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = analysed(chain(3), worst_case_seconds=0)
    assert all(row.worst_case is None for row in report)
    assert all(row.worst_case for row in analysed(chain(3))[0])
    forbid(monkeypatch)
    assert_same_reports(analysed(chain(3), worst_case_seconds=0)[0], report)


# -- other sources, other processes ---------------------------------------------------


def test_kernels_without_a_size(
    analysed: Callable[..., Analysed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(chain(4).state_dict(), tmp_path / "weights.safetensors")
    opened = cs.open_model(str(tmp_path / "weights.safetensors"))
    plain = cs.analyze(opened)
    given = {"max_flops": None, "norm_flops": None}
    assert_same_reports(analysed(opened, None, **given)[0], plain)
    forbid(monkeypatch)
    report, steps = analysed(opened, None, **given)
    assert_same_reports(report, plain)
    assert (steps.found, steps.computed) == (4, 0)


def test_progress_is_told_of_steps_that_were_found(
    analysed: Callable[..., Analysed],
) -> None:
    told: list[list[tuple[int, int, str]]] = [[], []]
    for some in told:
        analysed(mixed(), progress=lambda *step, some=some: some.append(step))
    steps = [[(done, total) for done, total, _ in some] for some in told]
    assert (
        steps[0]
        == steps[1]
        == [(done, len(steps[0]) - 1) for done in range(len(steps[0]))]
    )
