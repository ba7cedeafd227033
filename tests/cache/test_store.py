"""Entries of a folder: whole and their own, or none."""

from __future__ import annotations

import io
import os
import pickle
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from convspec.cache import Codec, Store
from convspec.cache import store as module
from tests.cache.same import assert_same

KEY, OTHER = 64 * "a", 64 * "b"
VALUE = (1.5, "words", np.arange(50.0), None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store.at(tmp_path / "new" / "folder")
    found.write(KEY, VALUE)
    assert_same(found.read(KEY), VALUE)
    return found


def test_an_entry_is_an_archive_that_numpy_reads(store: Store) -> None:
    with np.load(store.path(KEY), allow_pickle=False) as archive:
        assert np.array_equal(archive["0"], np.arange(50.0))
        assert KEY in archive["text"].tobytes().decode()
    assert os.listdir(store.folder) == [f"{KEY}.npz"]


def test_the_same_value_is_the_same_file(store: Store) -> None:
    before = store.path(KEY).read_bytes()
    store.write(KEY, VALUE)
    assert store.path(KEY).read_bytes() == before


def test_no_entry(store: Store) -> None:
    assert store.read(OTHER) is None


def test_every_flipped_byte_is_seen(store: Store) -> None:
    content = store.path(KEY).read_bytes()
    draw = random.Random(0)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(8)
        store.path(KEY).write_bytes(changed)
        assert store.read(KEY) is None, place


def test_every_truncation_is_seen(store: Store) -> None:
    content = store.path(KEY).read_bytes()
    for length in range(len(content)):
        store.path(KEY).write_bytes(content[:length])
        assert store.read(KEY) is None, length
    for more in (b"\0", content):
        store.path(KEY).write_bytes(content + more)
        assert store.read(KEY) is None


def test_an_entry_of_another_key(store: Store) -> None:
    os.replace(store.path(KEY), store.path(OTHER))
    assert store.read(OTHER) is None
    store.write(OTHER, VALUE)
    assert_same(store.read(OTHER), VALUE)


def sealed(content: bytes) -> bytes:
    """What someone wrote, with the checksum that an entry has."""
    body = bytearray(content)
    with zipfile.ZipFile(stream := io.BytesIO(body), "a") as archive:
        archive.comment = module.CHECKSUM * b"0"
    body = bytearray(stream.getvalue()[: -module.CHECKSUM])
    return bytes(body) + module.hashlib.sha256(body).hexdigest().encode()


class Harmful:
    """Fails the test where it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("unpickled",)


def archive_of(compressed: bool = False, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def text(key: str, value: str) -> Any:
    words = f'{{"key": "{key}", "value": {value}}}'
    return np.frombuffer(words.encode(), dtype=np.uint8)


@pytest.mark.parametrize("seal", [False, True])
@pytest.mark.parametrize(
    "arrays",
    [
        {"weights": np.zeros(3)},
        {"text": np.array([Harmful()])},
        {"text": text(KEY, '"[\\"array\\",\\"0\\",true]"'), "0": np.array([Harmful()])},
        {"text": text(OTHER, '"1"')},
        {"text": text(KEY, '"[\\"object\\",\\"Popen\\",{}]"')},
        {"text": text(KEY, "7")},
        {"text": np.zeros(3)},
        {"compressed": True, "text": text(KEY, '"1"')},
    ],
)
def test_archives_of_others(store: Store, arrays: dict[str, Any], seal: bool) -> None:
    content = archive_of(**arrays)
    store.path(KEY).write_bytes(sealed(content) if seal else content)
    assert store.read(KEY) is None


def test_the_seal_of_these_tests_is_the_right_one(store: Store) -> None:
    store.path(KEY).write_bytes(sealed(archive_of(text=text(KEY, '"1"'))))
    assert store.read(KEY) == 1


@pytest.mark.parametrize(
    "content", [b"", b"PK\x05\x06" + 18 * b"\0", pickle.dumps(VALUE), 200 * b"a"]
)
def test_other_files(store: Store, content: bytes) -> None:
    store.path(KEY).write_bytes(content)
    assert store.read(KEY) is None


def test_a_folder_in_the_place_of_an_entry(store: Store) -> None:
    store.path(OTHER).mkdir()
    assert store.read(OTHER) is None
    with pytest.warns(UserWarning, match="not all stored"):
        store.write(OTHER, VALUE)
    store.write(OTHER, VALUE)  # said once


def test_links_and_pipes_are_replaced_and_not_followed(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(store.path(KEY).read_bytes())
    store.path(KEY).unlink()
    for make in (lambda path: path.symlink_to(tmp_path / "other"), os.mkfifo):
        make(store.path(KEY))
        assert store.read(KEY) is None
        before = (tmp_path / "other").read_bytes()
        store.write(KEY, (1, 2))
        assert store.read(KEY) == (1, 2)
        assert (tmp_path / "other").read_bytes() == before
        store.path(KEY).unlink()


def test_large_entries_are_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", store.path(KEY).stat().st_size - 1)
    assert store.read(KEY) is None
    store.write(OTHER, VALUE)
    assert not store.path(OTHER).exists()


def test_a_full_disk_is_told_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bytes", full)
    with pytest.warns(UserWarning, match="No space left"):
        store.write(OTHER, VALUE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.write(OTHER, VALUE)
    assert_same(store.read(KEY), VALUE)


def test_what_a_killed_writer_leaves_is_no_entry(store: Store) -> None:
    (store.folder / ".convspec-abc").write_bytes(store.path(KEY).read_bytes()[:100])
    assert_same(Store.at(store.folder, Codec()).read(KEY), VALUE)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(NotADirectoryError, match=r"must be a folder; .*file is a file"):
        Store.at(path)
    with pytest.raises(OSError, match="must be a folder that can be written to"):
        Store.at(path / "inside")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("folder", ["/proc", "/proc/convspec"])
def test_a_folder_that_cannot_be_written_to(folder: str) -> None:
    with pytest.raises(OSError, match=f"can be written to; {folder}: "):
        Store.at(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="can be written to"):
        Store.at(tmp_path)
