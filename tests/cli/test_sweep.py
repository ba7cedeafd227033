"""``convspec sweep``: what it prints and writes, and its exit status."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

import convspec as cs
from convspec.cli import main
from convspec.report.stored import StoredSteps
from tests.sweeps.nets import run, save, weights

MODEL = ["--model", "tests.sweeps.nets:net", "--input-shape", "2,8,8"]
Capture = pytest.CaptureFixture[str]


def given(folder: Path, *more: str) -> list[str]:
    """A command whose files are in a folder."""
    pattern = str(folder / "run" / "*.pth")
    return ["sweep", pattern, *MODEL, "--out", str(folder / "sweep.parquet"), *more]


def test_all_files(tmp_path: Path, capsys: Capture) -> None:
    run(tmp_path / "run", 11)
    page, figure = tmp_path / "page.html", tmp_path / "norms.svg"
    more = ["--html", str(page), "--figure", str(figure), "--quantity", "stable_rank"]
    assert main(given(tmp_path, *more)) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert "11 checkpoints, 3 layers" in found.out
    assert found.out.endswith(f"wrote {tmp_path / 'sweep.parquet'}, {page}, {figure}\n")
    frame = cs.read_sweep(tmp_path / "sweep.parquet")
    assert list(frame["step"]) == [k for k in range(1, 12) for _ in range(3)]
    assert "<h1>Sequential</h1>" in page.read_text()
    assert "stable rank" in figure.read_text() or figure.stat().st_size > 1000


def test_quiet_and_again(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "run", 2)
    folder = tmp_path / "results"
    more = ["--quiet", "--resume", str(folder), "--effort", "quick", "--layers", "[02]"]
    assert main(given(tmp_path, *more)) == 0
    before = cs.read_sweep(tmp_path / "sweep.parquet")
    monkeypatch.setattr(StoredSteps, "keep", None)
    assert main(given(tmp_path, *more)) == 0
    assert capsys.readouterr() == ("", "")
    assert cs.read_sweep(tmp_path / "sweep.parquet").equals(before)
    assert set(before["layer"]) == {"0", "2"}
    assert not (tmp_path / "sweep.parquet.cache").exists()


def test_files_as_a_shell_sorts_them(tmp_path: Path) -> None:
    files = sorted(map(str, run(tmp_path / "run", 10)))
    assert files[1].endswith("epoch10.pth")
    out = tmp_path / "sweep.parquet"
    assert main(["sweep", *files, *MODEL, "--out", str(out), "--quiet"]) == 0
    assert cs.read_sweep(out)["checkpoint"].iloc[-1] == "epoch10.pth"


def test_a_damaged_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    files = run(tmp_path / "run", 3)
    files[1].write_bytes(b"nothing")
    assert main(given(tmp_path, "--quiet")) == 1
    found = capsys.readouterr()
    assert found.err.startswith("convspec: not analysed: epoch2.pth: ")
    assert found.err.count("\n") == 1
    frame = cs.read_sweep(tmp_path / "sweep.parquet")
    assert list(frame["checkpoint"].unique()) == ["epoch1.pth", "epoch3.pth"]


def test_a_layer_that_fails(tmp_path: Path) -> None:
    files, bad = run(tmp_path / "run", 2), weights(2)
    bad["0.weight"] = math.inf * bad["0.weight"]
    save(files[1], bad)
    assert main(given(tmp_path, "--quiet")) == 1
    assert len(cs.read_sweep(tmp_path / "sweep.parquet")) == 6


def test_a_table_that_was_there_survives(tmp_path: Path, capsys: Capture) -> None:
    [file] = run(tmp_path / "run", 1)
    assert main(given(tmp_path, "--quiet")) == 0
    before = (tmp_path / "sweep.parquet").read_bytes()
    file.write_bytes(b"nothing")
    assert main(given(tmp_path, "--quiet")) == 2
    assert "no checkpoint of 1 could be analysed" in capsys.readouterr().err
    assert (tmp_path / "sweep.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "nowhere/sweep.parquet"], "the folder must exist: nowhere"),
        (["--figure", "x.abc"], "a figure must end in one of"),
        (["--resume", __file__], "the cache must be a folder"),
        (["--model", "nowhere:net"], "must be importable from here"),
        (["--model", "net.onnx"], "net.onnx"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    words: str,
) -> None:
    run(tmp_path / "run", 1)
    monkeypatch.chdir(tmp_path)
    assert main(given(tmp_path, *more)) == 2
    found = capsys.readouterr()
    assert words in found.err
    assert found.err.count("\n") == 1


def test_nothing_matches(tmp_path: Path, capsys: Capture) -> None:
    assert main(given(tmp_path)) == 2
    assert "checkpoints must be files that there are; nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "extra", "more"),
    [("pyarrow", "sweep", []), ("jinja2", "html", ["--html", "page.html"])],
)
def test_without_the_package_it_says_so(
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    more: list[str],
) -> None:
    run(tmp_path / "run", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(given(tmp_path, *more)) == 2
    assert f"install convspec[{extra}]" in capsys.readouterr().err


def test_interrupted(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "run", 1)

    def interrupted(*given: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("convspec.sweeps.run.analyze", interrupted)
    assert main(given(tmp_path)) == 130  # as of every command
    assert "the same command goes on" in capsys.readouterr().err
