"""Files of a sweep: their order, names and steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from convspec.errors import ConvSpecError
from convspec.sweeps.checkpoints import matching, named_files


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_natural_order(tmp_path: Path) -> None:
    touched(tmp_path, "epoch10.pt", "epoch2.pt", "epoch1.pt", "folder/other.pt")
    found = named_files(str(tmp_path / "*"))
    assert [each.name for each in found] == ["epoch1.pt", "epoch2.pt", "epoch10.pt"]
    assert [each.step for each in found] == [1, 2, 10]


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["run1/step5.pt", "run1/step9.pt"], [5, 9]),
        (["s0_epoch003.pt", "s0_epoch004.pt"], [3, 4]),
        (["first.pt", "last.pt"], [0, 1]),
        (["epoch1.pt", "epoch2.pt", "best.pt"], [0, 1, 2]),
        (["epoch1_loss5.pt", "epoch2_loss4.pt"], [0, 1]),
        (["epoch2.pt", "epoch1.pt"], [0, 1]),
        (["epoch7.pt"], [7]),
        (["only.pt"], [0]),
        (["a/model.pt", "b/model.pt"], [0, 1]),
        (["e1/model.pt", "e5/model.pt"], [1, 5]),
        (["epoch01.pt", "epoch1.pt"], [0, 1]),
    ],
)
def test_steps(names: list[str], steps: list[int]) -> None:
    assert [each.step for each in named_files(names)] == steps


def test_names_are_told_apart_by_folders() -> None:
    found = named_files(["runs/a/model.pt", "runs/b/model.pt"])
    assert [each.name for each in found] == ["a/model.pt", "b/model.pt"]


def test_patterns_across_folders(tmp_path: Path) -> None:
    touched(tmp_path, "b/x2.pt", "a/x1.pt", "a/x10.pt", "odd[1].pt")
    found = matching([str(tmp_path / "**" / "x*.pt"), str(tmp_path / "odd[1].pt")])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["a/x1.pt", "a/x10.pt", "b/x2.pt", "odd[1].pt"]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConvSpecError, match=r"nothing matches '.*none\*'"):
        matching([str(tmp_path / "none*")])
    with pytest.raises(ConvSpecError, match="is there twice"):
        named_files(["a.pt", "b.pt", "./a.pt"])
    with pytest.raises(ConvSpecError, match="at least one checkpoint"):
        named_files([])
    with pytest.raises(TypeError, match="must be a list of files or a pattern"):
        named_files([3])  # type: ignore[list-item]
