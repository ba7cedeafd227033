"""What shells complete, asked of a shell."""

from __future__ import annotations

import builtins
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from convspec.cli import main

BASH = shutil.which("bash") or "bash"


def completed(script: str, words: list[str], folder: Path) -> list[str]:
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"{script}\nCOMP_WORDS=({line})\nCOMP_CWORD={len(words) - 1}\n"
        f"_shtab_convspec convspec '{words[-1]}' '{words[-2]}'\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        [BASH, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return sorted(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["convspec", "an"], ["analyze"]),
        (["convspec", "ver"], ["verify"]),
        (["convspec", "analyze", "--fo"], ["--fold-batch-norm"]),
        (["convspec", "analyze", "x", "--effort", "q"], ["quick"]),
        (["convspec", "lipschitz", "net"], ["net.onnx", "net.pt2"]),
        (["convspec", "analyze", "x", "--figures", "net"], ["nets"]),
        (["convspec", "completion", "z"], ["zsh"]),
        (["convspec", "sweep", "net"], ["net.onnx", "net.pt2"]),
        (["convspec", "sweep", "net.pt2", "--qu"], ["--quantity", "--quiet"]),
    ],
    ids=" ".join,
)
def test_bash_completes(
    words: list[str], offered: list[str], tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "net.pt2").touch()
    if "--figures" in words:
        (tmp_path / "nets").mkdir()
    assert main(["completion", "bash"]) == 0
    assert completed(capsys.readouterr().out, words, tmp_path) == offered


def test_zsh_knows_all_commands(capsys: Any) -> None:
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef convspec")
    assert all(name in script for name in ("analyze", "lipschitz", "--domain"))


def test_without_the_package_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "shtab":
            raise ImportError("No module named 'shtab'")
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", absent)
    assert main(["completion", "bash"]) == 2
    assert "install convspec[cli]" in capsys.readouterr().err
