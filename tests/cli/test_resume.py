"""``convspec analyze --resume``: results that are stored and found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from convspec.cli import main
from convspec.report.stored import StoredSteps
from tests.cache.same import timeless

SOURCE = ["tests.cli.models:small", "--input-shape", "3,8,8"]


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("more", [[], ["--linear"], ["--fold-batch-norm"]])
def test_a_second_run_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    folder, path = tmp_path / "results", tmp_path / "report.json"
    given = ["analyze", *SOURCE, *more, "--quiet", "--json", str(path)]
    assert main(given) == 0
    plain = json.loads(path.read_text())
    for _ in range(2):
        assert main([*given, "--resume", str(folder)]) == 0
        assert timeless(json.loads(path.read_text())) == timeless(plain)
        before = files(folder)
        monkeypatch.setattr(StoredSteps, "keep", None)
    assert files(folder) == before
    assert all(name.endswith(".npz") for name in before)


def test_check_resumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [*SOURCE, "--resume", str(tmp_path), "--quiet"]
    assert main(["analyze", *given]) == 0
    monkeypatch.setattr(StoredSteps, "keep", None)
    assert main(["check", *given, "--max-norm", "100"]) == 0


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_a_file_is_refused_before_the_model_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").touch()
    source = ["tests.cli.models:failing", "--input-shape", "3,8,8"]
    assert main(["analyze", *source, "--resume", str(tmp_path / place)]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert "error: the cache must be a folder" in found.err
    assert found.err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    assert main(["analyze", *SOURCE, "--resume", str(tmp_path)]) == 2
    assert "can be written to" in capsys.readouterr().err
