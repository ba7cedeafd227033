"""``convspec check``: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convspec.cli import main

SOURCE = ["tests.network.networks:convolutional", "--input-shape", "1,8,8"]


def test_limits_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--max-norm", "100", "--max-worst-case", "100", "--max-condition", "1e30"]
    assert main(["check", *SOURCE, *limits]) == 0
    assert capsys.readouterr().out == "layers: 2, findings: 0\n"


def test_limits_that_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *SOURCE, "--max-norm", "1e-3", "--quiet"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("is above 0.001" in line for line in lines)


def test_one_layer(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--layers", "0", "--max-norm", "1e-3"]
    assert main(["check", *SOURCE, *given]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "layers: 1, findings: 1"


def test_against_a_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    assert main(["analyze", *SOURCE, "--json", str(path), "--quiet"]) == 0
    assert main(["check", *SOURCE, "--against", str(path), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    given = ["--against", str(path), "--layers", "0", "--quiet"]
    assert main(["check", *SOURCE, *given]) == 0
    assert capsys.readouterr().out == ""
    report = json.loads(path.read_text())
    for end in ("norm", "norm_lower", "norm_upper"):
        report["layers"][0][end] *= 1.01
    path.write_text(json.dumps(report))
    assert main(["check", *SOURCE, "--against", str(path), "--rtol", "0.1"]) == 0
    assert main(["check", *SOURCE, "--against", str(path), "--quiet"]) == 1
    assert "norm was" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "check needs something to hold; give --max-norm"),
        (["--against", "nowhere.json"], "must be a file that can be opened"),
        (["--against", __file__], "must be a report that to_json or --json wrote"),
    ],
)
def test_bad_input(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *SOURCE, *given]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert words in found.err
    assert found.err.count("\n") == 1
