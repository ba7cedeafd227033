"""Progress on standard error: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convspec.extras import import_extra
from convspec.report.stages import Progress

__all__ = ["progress_bar"]


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
