"""Scripts by which a shell completes what is typed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from convspec.extras import import_extra

__all__ = ["SHELLS", "completion_script"]

SHELLS = ("bash", "zsh", "tcsh")


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """What a shell reads to complete commands, options, files and folders.

    Args:
        parser: Of all commands.
        shell: One of :data:`SHELLS`.

    Raises:
        MissingExtra: If shtab is not installed.
    """
    shtab = import_extra("shtab", "cli")
    for action in _actions(parser):
        if action.dest in ("source", "checkpoints") or action.type is Path:
            folder = action.metavar in ("DIR", "FOLDER")
            action.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell)
    return script


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments, of commands too."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
