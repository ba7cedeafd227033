"""Sweeps: their numbers, what they compute anew, and what becomes of damaged files."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import convspec as cs
from convspec.report.columns import fields
from convspec.report.stored import StoredSteps
from convspec.sweeps import run as sweeps
from tests.sweeps.nets import SHAPE, net, run, save, sweeping, weights


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many checkpoints were analysed, and how many steps computed."""
    counts = {"checkpoints": 0, "steps": 0}
    analyze, compute = sweeps.analyze, StoredSteps.keep

    def analysed(*given: Any, **named: Any) -> Any:
        counts["checkpoints"] += 1
        return analyze(*given, **named)

    def computed(*given: Any) -> Any:
        counts["steps"] += 1
        return compute(*given)

    monkeypatch.setattr(sweeps, "analyze", analysed)
    monkeypatch.setattr(StoredSteps, "keep", computed)
    return counts


def counted(counts: dict[str, int], *given: Any, **named: Any) -> tuple[cs.Sweep, Any]:
    """A sweep, and what it took."""
    counts |= dict.fromkeys(counts, 0)
    found = cs.sweep(*given, **named)
    return found, (counts["checkpoints"], counts["steps"])


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "seconds"}


@pytest.mark.parametrize("settings", [{}, {"max_flops": 1.0, "rank_rtol": 0.1}])
def test_rows_are_those_of_analyze(tmp_path: Path, settings: dict[str, Any]) -> None:
    files = run(tmp_path / "run", 3)
    found = cs.sweep(str(tmp_path / "run" / "*.pth"), net, SHAPE, **settings)
    assert found.checkpoints == ("epoch1.pth", "epoch2.pth", "epoch3.pth")
    assert found.steps == (1, 2, 3)
    assert len(found) == 9
    rows = iter(found.rows)
    for step, file in enumerate(files, 1):
        model = net()
        model.load_state_dict(torch.load(file, weights_only=True))
        for layer in cs.analyze(model, SHAPE, **settings):
            wanted, row = fields(layer), timeless(next(rows))
            assert row.pop("checkpoint") == file.name
            assert row.pop("step") == step
            assert row.pop("layer") == wanted.pop("name")
            shapes = {key for key in wanted if key.endswith("_shape")}
            wanted |= {key: "x".join(map(str, wanted[key])) for key in shapes}
            assert row == timeless(wanted)


def test_a_second_sweep_analyses_nothing(tmp_path: Path, done: dict[str, int]) -> None:
    run(tmp_path / "run", 3)
    given = [str(tmp_path / "run" / "*.pth"), net, SHAPE]
    out = tmp_path / "sweep.parquet"
    first, took = counted(done, *given, out=out)
    assert took[0] == 3
    assert took[1] >= 3 * 6
    assert (tmp_path / "sweep.parquet.cache").is_dir()
    again, took = counted(done, *given, out=out)
    assert took == (0, 0)
    assert again.rows == first.rows  # seconds too


def test_one_layer_of_one_checkpoint(tmp_path: Path, done: dict[str, int]) -> None:
    files = run(tmp_path / "run", 4)
    given, cache = [str(tmp_path / "run" / "*.pth"), net, SHAPE], tmp_path / "cache"
    first, _ = counted(done, *given, cache=cache)
    changed = weights(2)
    changed["2.weight"] = changed["2.weight"] * 2
    save(files[1], changed)
    again, took = counted(done, *given, cache=cache)
    assert took == (1, 2)  # the kernel's norms, and the spectrum
    differ = [
        (row["checkpoint"], row["layer"])
        for row, before in zip(again.rows, first.rows, strict=True)
        if timeless(row) != timeless(before)
    ]
    assert differ == [("epoch2.pth", "2")]
    _, took = counted(done, *given, cache=cache)
    assert took == (0, 0)


def test_new_checkpoints_and_other_names(tmp_path: Path, done: dict[str, int]) -> None:
    files = run(tmp_path / "run", 2)
    cache = tmp_path / "cache"
    counted(done, files, net, SHAPE, cache=cache)
    save(tmp_path / "run" / "epoch10.pth", weights(10))
    files[0].rename(tmp_path / "run" / "epoch3.pth")
    found, took = counted(done, str(tmp_path / "run" / "*.pth"), net, SHAPE, cache=cache)
    assert took[0] == 1
    assert found.steps == (2, 3, 10)


@pytest.mark.parametrize(
    "settings",
    [{"effort": "quick"}, {"linear": True}, {"layers": "0"}, {"energy": 0.9}],
    ids=str,
)
def test_other_settings_are_other_rows(
    tmp_path: Path, done: dict[str, int], settings: dict[str, Any]
) -> None:
    [file] = run(tmp_path / "run", 1)
    counted(done, [file], net, SHAPE, cache=tmp_path / "cache")
    for took in (1, 0):
        _, found = counted(done, [file], net, SHAPE, cache=tmp_path / "cache", **settings)
        assert found[0] == took


class Doubled(nn.Module):
    """A kernel that code multiplies."""

    factor = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.factor * self.weight, padding=1)


def test_code_that_changed_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(tmp_path / "one.pth", Doubled().state_dict())
    [before] = cs.sweep([file], Doubled, SHAPE, cache=tmp_path / "cache").rows
    monkeypatch.setattr(Doubled, "factor", 4.0)
    [after] = cs.sweep([file], Doubled, SHAPE, cache=tmp_path / "cache").rows
    assert math.isclose(after["norm"], 2 * before["norm"], rel_tol=1e-12)


def test_what_seconds_may_have_cut_is_not_kept(
    tmp_path: Path, done: dict[str, int]
) -> None:
    files = run(tmp_path / "run", 2)
    for steps in (True, False):
        _, took = counted(done, files, net, SHAPE, cache=tmp_path / "cache", seconds=600)
        assert took[0] == 2
        assert bool(took[1]) == steps


def test_a_module_is_left_as_it_is(tmp_path: Path) -> None:
    files, model = run(tmp_path / "run", 2), net()
    before = {name: held.clone() for name, held in model.state_dict().items()}
    by_module = cs.sweep(files, model, SHAPE)
    by_name = cs.sweep(files, "tests.sweeps.nets:net", SHAPE)
    assert all(torch.equal(held, before[n]) for n, held in model.state_dict().items())
    assert [*map(timeless, by_module.rows)] == [*map(timeless, by_name.rows)]


def normalised() -> nn.Module:
    """A kernel that is none of the leaves, which cannot be copied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Conv2d(2, 3, 3)))


def test_a_model_that_cannot_be_copied(tmp_path: Path) -> None:
    model = normalised()
    file = save(tmp_path / "epoch1.pth", model.state_dict())
    [row] = cs.sweep([file], normalised, SHAPE, cache=tmp_path / "cache").rows
    assert row["norm"] == cs.analyze(model, SHAPE)["0"].quantities["norm"]
    with pytest.raises(cs.UnreadableModel, match="give a function that makes it"):
        cs.sweep([file], normalised(), SHAPE)


def test_a_model_without_memory(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 2)
    with torch.device("meta"):
        model = net()
    found = cs.sweep(files, model, SHAPE, cache=tmp_path / "cache")
    wanted = cs.sweep(files, net, SHAPE)
    assert [*map(timeless, found.rows)] == [*map(timeless, wanted.rows)]
    assert all(each.is_meta for each in model.state_dict().values())


def test_damaged_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 5)
    files[1].write_bytes(files[1].read_bytes()[:100])
    less = weights(3)
    del less["0.weight"]
    save(files[2], less)
    files[3].unlink()
    for _ in range(2):
        found = cs.sweep(files, net, SHAPE, cache=tmp_path / "cache")
        assert found.checkpoints == ("epoch1.pth", "epoch5.pth")
        assert found.steps == (1, 5)
        assert list(found.failed) == ["epoch2.pth", "epoch3.pth", "epoch4.pth"]
        assert "missing: 0.weight" in found.failed["epoch3.pth"]
        assert "not analysed: 3 checkpoints" in repr(found)


def test_a_layer_that_fails_stays(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 2)
    bad = weights(2)
    bad["2.weight"] = torch.full_like(bad["2.weight"], math.nan)
    save(files[1], bad)
    found = cs.sweep(files, net, SHAPE)
    assert not found.failed
    assert found.evolution("2")[1] is None
    assert found.rows[4]["method"] == "none"
    assert "NaN" in found.rows[4]["reason"]


def test_none_that_can_be_read(tmp_path: Path) -> None:
    [file] = run(tmp_path / "run", 1)
    file.write_bytes(b"no weights")
    with pytest.raises(
        cs.ConvSpecError, match="no checkpoint of 1 could be analysed; ep"
    ):
        cs.sweep([file], net, SHAPE, out=tmp_path / "sweep.parquet")
    assert not (tmp_path / "sweep.parquet").exists()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"efort": "quick"}, TypeError, "settings must be of analyze: effort.*got efort"),
        ({"effort": "much"}, ValueError, "effort must be one of"),
        ({"rank_rtol": 2.0}, ValueError, "rank_rtol must be"),
        ({"layers": "nowhere"}, cs.ConvSpecError, "'nowhere' matches none"),
        ({"model": 3}, TypeError, "the model must be a torch.nn.Module, a function"),
        ({"model": dict}, TypeError, "must make a torch.nn.Module; it made"),
        ({"input_shape": (5, 8, 8)}, cs.ConvSpecError, "no checkpoint of 1"),
    ],
)
def test_refusals(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    files = run(tmp_path / "run", 1)
    named = {"model": net, "input_shape": SHAPE} | given
    with pytest.raises(error, match=words):
        cs.sweep(files, **named)


def test_progress_is_told(tmp_path: Path) -> None:
    files, said = run(tmp_path / "run", 2), list[tuple[int, int, str]]()
    cs.sweep(files, net, SHAPE, progress=lambda *step: said.append(step))
    assert said[0] == (0, 2, "epoch1.pth")
    assert {done for done, _, words in said if words.endswith(": norm")} == {0, 1}
    assert said[-1] == (2, 2, "")


def test_killed_in_the_middle(tmp_path: Path, done: dict[str, int]) -> None:
    run(tmp_path / "run", 12)
    pattern, out = str(tmp_path / "run" / "*.pth"), tmp_path / "sweep.parquet"
    process = sweeping(pattern, out)
    assert process.stdout is not None
    with process.stdout:
        while process.stdout.readline().strip() != "5":
            assert process.poll() is None
        process.kill()
        process.wait()
    assert not out.exists()
    resumed, took = counted(done, pattern, net, SHAPE, out=out)
    assert 1 <= took[0] <= 7  # the kill takes a moment
    undisturbed = cs.sweep(pattern, net, SHAPE)
    assert [*map(timeless, resumed.rows)] == [*map(timeless, undisturbed.rows)]
