"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import pytest

from convspec import written as files
from convspec.written import write_text

TEXT = "name,norm\r\nerste Schicht \N{GREEK SMALL LETTER SIGMA},1.5\n\n"


@pytest.fixture
def umask() -> Iterator[None]:
    """The process's umask is put back whatever a test does to it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_text_arrives_byte_for_byte(tmp_path: Path, kind: type) -> None:
    write_text(kind(tmp_path / "file.csv"), TEXT)
    assert (tmp_path / "file.csv").read_bytes() == TEXT.encode("utf-8")
    assert os.listdir(tmp_path) == ["file.csv"]


def test_old_file_is_replaced_by_a_shorter_one(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(100 * TEXT, encoding="utf-8")
    write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_name_without_folder_is_written_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text("file.csv", TEXT)
    assert os.listdir(tmp_path) == ["file.csv"]


def test_file_is_complete_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, replace = tmp_path / "file.csv", os.replace
    target.write_text("old")
    seen: list[tuple[bytes, str]] = []

    def watched(source: str, destination: str) -> None:
        assert Path(source).parent == Path(destination).parent  # one file system
        seen.append((Path(source).read_bytes(), target.read_text()))
        replace(source, destination)

    monkeypatch.setattr(files.os, "replace", watched)
    write_text(target, TEXT)
    assert seen == [(TEXT.encode("utf-8"), "old")]


def _disk_full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "no space left")


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("old", ["old", None], ids=["over-a-file", "new-file"])
@pytest.mark.parametrize("step", ["write", "chmod", "replace"])
@pytest.mark.parametrize("failure", [_disk_full, _interrupted], ids=["OSError", "Ctrl-C"])
def test_failure_midway_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str | None,
    step: str,
    failure: object,
) -> None:
    path, fdopen = tmp_path / "file.csv", os.fdopen
    if old is not None:
        path.write_text(old)

    def opened(*args: Any, **kwargs: Any) -> IO[bytes]:
        stream = fdopen(*args, **kwargs)
        stream.write(TEXT.encode())
        stream.write = failure
        return stream

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(files.os, "fdopen", opened)
        else:
            patch.setattr(files.os, step, failure)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_text(path, TEXT)
    assert os.listdir(tmp_path) == ([] if old is None else ["file.csv"])
    assert old is None or path.read_text() == old


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half of it, then \ud800")
    assert os.listdir(tmp_path) == ["file.csv"]
    assert path.read_text() == "old"


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No such file or directory") as caught:
        write_text(tmp_path / "nowhere" / "file.csv", TEXT)
    assert caught.value.filename == str(tmp_path / "nowhere")
    assert os.listdir(tmp_path) == []


def test_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_text(tmp_path / "folder", TEXT)
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.name != "posix", reason="umask is POSIX's")
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("mask", "mode"),
    [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0o027, 0o640), (0, 0o666)],
    ids=lambda bits: f"{bits:03o}",
)
def test_umask_is_respected_and_kept(tmp_path: Path, mask: int, mode: int) -> None:
    os.umask(mask)
    path = tmp_path / "file.csv"
    write_text(path, TEXT)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.umask(0) == mask
