"""Progress: what a function of the caller is told, or a bar on standard error.

The bar stands on a terminal and in a notebook; in a pipe there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from convspec.arguments import shown as in_words
from convspec.extras import import_extra
from convspec.quantity.decimals import rounded_up

__all__ = ["BestSoFar", "Progress", "best_so_far", "progress_bar", "told"]

DIGITS = 6

Progress = Callable[[int, int, str], None]  # done, in all, what comes
BestSoFar = Callable[[str, float], None]  # the method, its bound
Told = TypeVar("Told", bound=Callable[..., None])


@contextmanager
def told(
    progress: Told | bool | None, bar: Callable[[], AbstractContextManager[Told]]
) -> Iterator[Told | None]:
    """Whom a call tells of its steps: the caller's function, a bar for True, or nobody.

    Raises:
        TypeError: If it is neither.
    """
    if progress is True:
        with bar() as show:
            yield show
    elif progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        raise TypeError(
            "progress must be True for a bar, or a function that is told of each step; "
            f"got {in_words(progress)}"
        )


@contextmanager
def progress_bar(shown: bool = True) -> Iterator[Progress]:
    """A callback that shows what is done, what comes and how long it may take."""
    console, rich_progress = _console(), import_extra("rich.progress", "cli")
    with rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeElapsedColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
    ) as bar:
        task = bar.add_task("analysing", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name or "done")

        yield show


@contextmanager
def best_so_far(shown: bool = True) -> Iterator[BestSoFar]:
    """A callback that shows the method that gave a bound, the least yet, and the time."""
    console, rich_progress = _console(), import_extra("rich.progress", "cli")
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


def _console() -> Any:
    """Standard error; of a notebook, too, whose cells read it as a terminal's lines."""
    console = import_extra("rich.console", "cli")
    if not console.Console().is_jupyter:
        return console.Console(stderr=True)
    return console.Console(stderr=True, force_jupyter=False, force_terminal=True)
