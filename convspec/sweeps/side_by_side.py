"""Checkpoints side by side: a thread for each waits for what an executor computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TypeVar

from convspec.progress import Progress
from convspec.run.workers import LOOK
from convspec.sweeps.checkpoints import CheckpointFile

__all__ = ["side_by_side"]

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def side_by_side(
    tasks: Sequence[Task],
    files: Sequence[CheckpointFile],
    outcome: Callable[[Task, CheckpointFile], Outcome],
    interrupt: Callable[[], None],
    tell: Progress | None,
) -> list[Outcome]:
    """What comes of all files, in their order, as many at a time as there are tasks.

    Args:
        tasks: Each at work on one file at a time.
        files: The checkpoints.
        outcome: What comes of one.
        interrupt: Ends all that is at work, where this thread is interrupted or one of
            them raises.
        tell: Whom to tell how many are done.
    """
    free = SimpleQueue[Task]()
    for task in tasks:
        free.put(task)

    def take(file: CheckpointFile) -> Outcome:
        task = free.get()
        try:
            return outcome(task, file)
        finally:
            free.put(task)

    pool = ThreadPoolExecutor(len(tasks), thread_name_prefix="convspec checkpoint")
    futures = {pool.submit(take, file): file for file in files}
    ahead, said = dict(futures), -1
    try:
        while ahead:
            done = len(files) - len(ahead)
            if tell is not None and said < done:
                said = done
                tell(done, len(files), next(iter(ahead.values())).name)
            for future in wait(ahead, LOOK, FIRST_COMPLETED).done:
                future.result()
                del ahead[future]
    except BaseException:
        interrupt()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]
