"""Progress on standard error: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convspec.extras import import_extra
from convspec.quantity.decimals import rounded_up
from convspec.report.stages import Progress

__all__ = ["best_so_far", "progress_bar"]

DIGITS = 6


@contextmanager
def progress_bar(shown: bool = True) -> Iterator[Progress]:
    """A callback that shows what is done, what comes and how long it may take."""
    console = import_extra("rich.console", "cli").Console(stderr=True)
    rich_progress = import_extra("rich.progress", "cli")  # which imports the other
    with rich_progress.Progress(
        *rich_progress.Progress.get_default_columns(),
        rich_progress.TimeElapsedColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
    ) as bar:
        task = bar.add_task("analysing", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name or "done")

        yield show


@contextmanager
def best_so_far(shown: bool = True) -> Iterator[Callable[[str, float], None]]:
    """A callback that shows the method that gave a bound, the least yet, and the time."""
    console = import_extra("rich.console", "cli").Console(stderr=True)
    rich_progress = import_extra("rich.progress", "cli")
    with rich_progress.Progress(
        rich_progress.SpinnerColumn(),
        rich_progress.TextColumn("{task.description}"),
        rich_progress.TimeElapsedColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
    ) as bar:
        task = bar.add_task("bounding", total=None)

        def show(name: str, upper: float) -> None:
            words = f"L <= {rounded_up(upper, DIGITS)}, done: {name}"
            bar.update(task, description=words)

        yield show
