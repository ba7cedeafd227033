"""Threads over chunks: order, errors, and settings that are what they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from convspec.run import threads as parallel
from convspec.run.threads import available_cores, openblas, parallel_map


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """torch's number of threads before, which must be it afterwards as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in openblas().info()]


def in_new_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.parametrize("workers", [None, 1, 2, 3, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_results_in_order(workers: int | None, count: int) -> None:
    items = list(range(count))
    assert parallel_map(lambda i: i * i, items, workers) == [i * i for i in items]


def test_several_threads_of_one_thread_each(threads: int) -> None:
    """Two threads meet at a barrier, so both are there; each computes alone."""
    meet = threading.Barrier(2, timeout=60)

    def look(_: int) -> tuple[int, int]:
        meet.wait()
        return threading.get_ident(), torch.get_num_threads()

    seen = parallel_map(look, range(2), 2)
    assert len({thread for thread, _ in seen}) == 2
    assert [number for _, number in seen] == [1, 1]
    assert torch.get_num_threads() == threads
    assert in_new_thread(torch.get_num_threads) == threads


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize("failing", [[0], [5], list(range(9))], ids=str)
def test_restored_after_an_error(threads: int, failing: list[int], numpy: bool) -> None:
    before = blas_threads()

    def fail(item: int) -> None:
        if item in failing:
            raise KeyError(item)

    with pytest.raises(KeyError):
        parallel_map(fail, range(9), 2, numpy=numpy)
    assert torch.get_num_threads() == threads
    assert in_new_thread(torch.get_num_threads) == threads
    assert blas_threads() == before
    assert parallel_map(abs, [-1, -2], 2) == [1, 2]


def test_an_error_drops_what_has_not_begun() -> None:
    begun = []

    def fail(item: int) -> None:
        begun.append(item)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        parallel_map(fail, range(1000), 2)
    assert len(begun) <= 2


def test_openblas_is_held_to_one_thread() -> None:
    """Only where NumPy computes, and only meanwhile."""
    controller = openblas()
    with controller.limit(limits=2):
        before = blas_threads()
        inside = parallel_map(lambda _: blas_threads(), range(3), 2, numpy=True)
        assert all(set(numbers) <= {1} for numbers in inside)
        assert parallel_map(lambda _: blas_threads(), range(3), 2) == [before] * 3
        assert blas_threads() == before


def test_nested_calls_stay_on_their_thread(threads: int) -> None:
    def inner(_: int) -> int:
        return threading.get_ident()

    def outer(_: int) -> tuple[int, list[int]]:
        return threading.get_ident(), parallel_map(inner, range(4), 2)

    for thread, nested in parallel_map(outer, range(6), 2):
        assert nested == [thread] * 4
    assert torch.get_num_threads() == threads


def test_concurrent_calls(threads: int) -> None:
    """Calls from several threads wait for one another, and restore every setting."""

    def call(start: int) -> list[int]:
        return parallel_map(lambda i: start + i, range(20), 2)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(0, 800, 20)))
        seen = set(pool.map(lambda _: torch.get_num_threads(), range(8)))
    assert [number for part in found for number in part] == list(range(800))
    assert seen == {threads}
    assert torch.get_num_threads() == threads


def test_available_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_cores() >= 1
    monkeypatch.delattr(parallel.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: None)
    assert available_cores() == 1
