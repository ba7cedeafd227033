"""Threads for tasks: cores of their own, errors, interrupts, and settings behind them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from convspec.run import crew as room
from convspec.run.crew import Crew, crew
from convspec.run.threads import Spare, openblas, own_cores, parallel_map


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(room, "available_cores", lambda: 3)
    return 3


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = torch.get_num_threads(), openblas().info()
    yield
    assert (torch.get_num_threads(), openblas().info()) == before


def at_work() -> int:
    return sum(
        thread.name.startswith("convspec task") for thread in threading.enumerate()
    )


def numbers(_: object) -> tuple[int, set[int], bool]:
    found = {library["num_threads"] for library in openblas().info()}
    return torch.get_num_threads(), found, torch.is_grad_enabled()


@pytest.mark.parametrize("wide", [1, 2, 3])
def test_a_task_has_its_cores(wide: int) -> None:
    with crew() as workers:
        assert workers.cores == 3
        threads, blas, grad = workers.submit(numbers, None, wide).result()
        assert (threads, blas <= {1}, grad) == (wide, True, False)
        assert workers.submit(numbers, None).result()[0] == 1
    assert at_work() == 0


def test_tasks_are_side_by_side() -> None:
    meet = threading.Barrier(3, timeout=60)

    def look(item: int) -> tuple[int, int]:
        meet.wait()
        return item, threading.get_ident()

    with crew() as workers:
        futures = [workers.submit(look, item) for item in range(3)]
        found = [future.result() for future in futures]
    assert [item for item, _ in found] == [0, 1, 2]
    assert len({thread for _, thread in found}) == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_task_raises_is_raised(error: type[BaseException]) -> None:
    def fail(_: object) -> None:
        raise error("here")

    with crew() as workers, pytest.raises(error, match="here"):
        workers.submit(fail, None).result()
    with pytest.raises(error, match="here"), crew() as workers:
        workers.submit(fail, None).result()


@pytest.mark.parametrize(("own", "spare", "used"), [(1, 0, 1), (2, 0, 2), (1, 2, 3)])
def test_nested_calls_use_what_the_task_has(own: int, spare: int, used: int) -> None:
    lent, seen = Spare(spare), set()
    meet = threading.Barrier(used, timeout=60)

    def look(_: int) -> int:
        seen.add(threading.get_ident())
        meet.wait()
        return torch.get_num_threads()

    before = torch.get_num_threads()
    with own_cores(own, lent):
        assert parallel_map(look, range(used), 3) == [1 if used > 1 else own] * used
        assert torch.get_num_threads() == own
        assert len(seen) == used
        assert lent.take(10) == spare
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_an_interrupt_does_not_wait_and_ends_the_work() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def endless(_: object) -> None:
        while True:
            time.sleep(2.0)  # one call, as of LAPACK

    def wait_for(workers: Crew) -> None:
        futures = [workers.submit(endless, None) for _ in range(2)]
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        futures[1].result()

    before = signal.signal(signal.SIGALRM, interrupt)
    begin = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt), crew() as workers:
            wait_for(workers)
        took = time.perf_counter() - begin
        assert at_work() == 2
    finally:
        signal.signal(signal.SIGALRM, before)
    assert took < 1.5  # in the middle of a call
    end = time.perf_counter() + 60
    while at_work() and time.perf_counter() < end:
        time.sleep(0.01)
    assert at_work() == 0


def test_threads_are_made_when_they_are_needed() -> None:
    with crew() as workers:
        assert at_work() == 0
        workers.submit(abs, -1).result()
        assert at_work() == 1


def test_cores_that_nobody_uses() -> None:
    spare = Spare(2)
    assert (spare.take(1), spare.take(5), spare.take(1)) == (1, 1, 0)
    spare.give(3)
    assert spare.take(2) == 2
    assert isinstance(Crew(2).spare, Spare)


def test_waiting_looks_up_now_and_then() -> None:
    let = threading.Event()

    with crew() as workers:
        future = workers.submit(lambda _: let.wait(60), None)
        assert workers.wait({future}) == set()
        let.set()
        done: set[object] = set()
        while not done:
            done |= workers.wait({future})
        assert done == {future}
