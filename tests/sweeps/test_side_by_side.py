"""Sweeps whose steps an executor takes: several checkpoints at a time, the same rows."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import convspec as cs
from convspec.errors import ConvSpecError
from convspec.extras import MissingExtra
from convspec.sweeps import run as sweeps
from convspec.sweeps.checkpoints import named_files
from convspec.sweeps.side_by_side import side_by_side
from tests.sweeps.nets import SHAPE, net, run

SETTINGS: dict[str, Any] = {"max_flops": 1.0}


def timeless(found: cs.Sweep) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "seconds"}
        for row in found.rows
    ]


def nobody() -> None:
    raise AssertionError("interrupted")


def test_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 6)
    files[3].write_bytes(b"no weights")
    whole = cs.sweep(files, net, SHAPE, **SETTINGS)
    said: list[tuple[int, int, str]] = []

    def progress(*step: Any) -> None:
        said.append(step)

    with ThreadPoolExecutor(3) as pool:
        found = cs.sweep(files, net, SHAPE, executor=pool, progress=progress, **SETTINGS)
    assert timeless(found) == timeless(whole)
    assert found.checkpoints == whole.checkpoints
    assert found.failed == whole.failed
    assert [done for done, *_ in said] == sorted({done for done, *_ in said})
    assert said[-1] == (6, 6, "")


def test_processes_and_what_they_store(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 4)
    whole = cs.sweep(files, net, SHAPE, **SETTINGS)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = cs.sweep(
            files, net, SHAPE, executor=pool, cache=tmp_path / "cache", **SETTINGS
        )
    assert timeless(found) == timeless(whole)
    again = cs.sweep(files, net, SHAPE, cache=tmp_path / "cache", **SETTINGS)
    assert again.rows == found.rows


def test_as_many_at_a_time_as_there_are_tasks(tmp_path: Path) -> None:
    files = named_files([*map(str, run(tmp_path / "run", 6))])
    together, seen = threading.Barrier(3, timeout=20), set[int]()

    def outcome(task: int, file: Any) -> str:
        seen.add(task)
        together.wait()
        return str(file.name)

    found = side_by_side([1, 2, 3], files, outcome, nobody, None)
    assert found == [file.name for file in files]
    assert seen == {1, 2, 3}


def test_what_one_raises_ends_the_others(tmp_path: Path) -> None:
    files = named_files([*map(str, run(tmp_path / "run", 5))])
    ended, begun = threading.Event(), list[str]()

    def outcome(task: int, file: Any) -> str:
        begun.append(file.name)
        if file is files[1]:
            raise MissingExtra("pyarrow", "sweep")
        assert ended.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(MissingExtra):
        side_by_side([1, 2], files, outcome, ended.set, None)
    assert len(begun) < len(files)


class Never(Executor):
    """Takes tasks and does nothing."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        return Future()


def test_an_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 3)

    def progress(*_: Any) -> None:
        time.sleep(0.5)  # by now steps are waited for
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        cs.sweep(files, net, SHAPE, executor=Never(), progress=progress, **SETTINGS)
    assert threading.active_count() == before


def test_one_worker_takes_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def together(*_: Any) -> None:
        raise AssertionError("side by side")

    monkeypatch.setattr(sweeps, "side_by_side", together)
    files = run(tmp_path / "run", 2)
    with ThreadPoolExecutor(1) as pool:
        assert len(cs.sweep(files, net, SHAPE, executor=pool, **SETTINGS)) == 6
    with ThreadPoolExecutor(2) as pool:
        assert len(cs.sweep(files[:1], net, SHAPE, executor=pool, **SETTINGS)) == 3


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 3)
    for file in files:
        file.write_bytes(b"no weights")
    with (
        ThreadPoolExecutor(2) as pool,
        pytest.raises(ConvSpecError, match="no checkpoint of 3 could be analysed"),
    ):
        cs.sweep(files, net, SHAPE, executor=pool)
