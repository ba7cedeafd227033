"""Ctrl-C on the command line: a partial report, at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import convspec as cs
from convspec.cli import main

# what is told when a decomposition has begun that takes seconds
CODE = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs may ignore it
import convspec.report.enclose as enclose
from convspec.cli import main
inner = enclose.spectrum
def told(op, **given):
    print("begun", op.geometry.c_in, file=sys.stderr, flush=True)
    return inner(op, **given)
enclose.spectrum = told
sys.exit(main())
"""
PROMPT = 5.0  # seconds, on a machine that is busy; alone it is a tenth of one
WIDE = ["analyze", "tests.cli.models:wide", "--input-shape", "3,8,8"]


@contextmanager
def running(*arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A command, from the moment at which it says something on standard error."""
    command = [sys.executable, "-c", CODE, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stderr is not None
            while until not in process.stderr.readline():
                assert process.poll() is None
            time.sleep(0.3)
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it prints after an interrupt, which ends it promptly."""
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.perf_counter() - begin < PROMPT
    assert process.returncode == 130
    said = [line for line in err.splitlines(True) if not line.startswith("begun")]
    return out, "".join(said)


def test_in_the_middle_of_a_decomposition(tmp_path: Path) -> None:
    path, folder = tmp_path / "report.json", tmp_path / "results"
    given = [*WIDE, "--json", str(path), "--resume", str(folder)]
    with running(*given, until="begun 1500") as process:
        out, err = ended(process)
    assert "partial: 4 convolutions" in out
    assert "partial: interrupted when 2 of 4 rows were complete" in out
    assert f"wrote {path}" in out
    assert err == "convspec: interrupted\n"
    saved = cs.read_report(path)
    assert saved.partial
    assert [*saved] == ["0", "1", "2", "3"]
    assert ["norm" in saved[name].ends for name in saved] == [True, True, False, False]
    assert json.loads(path.read_text())["layers"][3]["reason"].endswith("interrupted")
    assert len([*folder.glob("*.npz")]) >= 4


def test_before_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    given = ["tests.cli.models:waiting", "--input-shape", "3,8,8", "--json", str(path)]
    with running("analyze", *given, until="waiting") as process:
        out, err = ended(process)
    assert out == ""
    assert err == "convspec: interrupted\n"
    assert not path.exists()


def test_a_second_one_ends_it() -> None:
    with running(*WIDE, until="begun 1500") as process:
        process.send_signal(signal.SIGINT)
        out, err = ended(process)
    assert "Traceback" not in out + err


def test_of_a_check() -> None:
    given = ["check", *WIDE[1:], "--max-norm", "100"]
    with running(*given, until="begun 1500") as process:
        out, err = ended(process)
    assert (out, err) == ("", "convspec: interrupted\n")


def test_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from convspec.report import stages

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "_norm", stopped)
    given = ["analyze", "tests.cli.models:small", "--input-shape", "3,8,8"]
    files = ["json", "csv", "html", "latex"]
    for kind in files:
        given += [f"--{kind}", str(tmp_path / kind)]
    assert main([*given, "--figures", str(tmp_path / "figures")]) == 130
    assert "0 of 2 rows were complete" in capsys.readouterr().out
    assert all((tmp_path / kind).exists() for kind in files)
    assert main([*given, "--quiet"]) == 130
    assert capsys.readouterr().out == ""
