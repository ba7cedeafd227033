"""Models from several formats: the same rows, or a word that they are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import __main__ as command
from benchmarks import sources
from convspec.errors import UnreadableModel


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 1))


def formats(folder: Path) -> Iterator[tuple[str, list[str]]]:
    size = ["--input-shape", "1,8,8"]
    for name, seed in (("one", 0), ("other", 0), ("another", 1)):
        path = folder / f"{name}.pt2"
        torch.export.save(
            torch.export.export(net(seed), (torch.zeros(1, 1, 8, 8),)), path
        )
        yield name, [str(path), *size]


def gone(folder: Path) -> Iterator[tuple[str, list[str]]]:
    raise UnreadableModel("it is gone")
    yield  # a generator


def test_formats_are_compared_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MODELS", {"net": formats})
    one, other, another = sources.read_all("net")
    assert one.is_right
    assert other.is_right
    assert other.norms == one.norms
    assert len(one.norms) == 2
    assert not another.is_right
    lines = sources.sources_text([one, other, another]).splitlines()
    assert [line.endswith("WRONG") for line in lines] == [False, False, False, True]


def test_differences_and_missing_weights_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for models in ({"net": formats}, {"gone": gone}):
        monkeypatch.setattr(sources, "MODELS", models)
        monkeypatch.setattr(command, "MODELS", models)
        assert command.main(["sources"]) == 1
    assert "gone: not run; it is gone" in capsys.readouterr().out


def test_other_kernels_are_wrong() -> None:
    first = sources.Read("net", "one", (("3x3", 1.0),), 0.1)
    other = sources.Read("net", "other", (("5x5", 1.0),), 0.1)
    assert not sources.compared(other, first).is_right
    short = sources.Read("net", "short", (("3x3", 1.0),), 0.1, float("inf"))
    assert not sources.compared(short, short).is_right
    near = sources.Read("net", "near", (("3x3", 1.0 + 1e-9),), 0.1)
    assert sources.compared(near, first).is_right
