"""The files of a sweep: in natural order, each once, with a name and a step."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from convspec.arguments import shown
from convspec.errors import ConvSpecError
from convspec.files.reading import one_line

__all__ = ["CheckpointFile", "matching", "named_files"]

Given = str | os.PathLike[str]
NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class CheckpointFile:
    """A file of weights.

    Attributes:
        path: Where it is.
        name: Its path without the folders that all have in common.
        step: The number in its name that alone differs from name to name; where there
            is none, its place, from 0.
    """

    path: Path
    name: str
    step: int


def matching(patterns: Iterable[Given]) -> list[Path]:
    """The files that match any of some patterns, ``epoch2`` before ``epoch10``.

    Args:
        patterns: As :mod:`glob` has them, ``**`` too, or names of files.

    Raises:
        ConvSpecError: If one matches no file.
    """
    found = list[str]()
    for given in patterns:
        pattern = os.fspath(given)
        some = (
            [pattern] if os.path.lexists(pattern) else glob.glob(pattern, recursive=True)
        )
        files = [each for each in some if not os.path.isdir(each)]
        if not files:
            raise ConvSpecError(
                one_line(
                    "checkpoints must be files that there are; nothing matches "
                    f"{pattern!r}; give other names or a pattern, 'run1/*.safetensors'"
                )
            )
        found += files
    return [Path(each) for each in sorted(found, key=_natural)]


def named_files(checkpoints: Given | Sequence[Given]) -> tuple[CheckpointFile, ...]:
    """The checkpoints of a pattern in natural order, or of a list in its own.

    Raises:
        TypeError: If it is neither.
        ConvSpecError: If there is none, or one is there twice.

    >>> found = named_files(["run/step9.pt", "run/step10.pt"])
    >>> [(each.name, each.step) for each in found]
    [('step9.pt', 9), ('step10.pt', 10)]
    """
    if isinstance(checkpoints, str | os.PathLike):
        paths = matching([checkpoints])
    elif isinstance(checkpoints, Sequence) and all(
        isinstance(each, str | os.PathLike) for each in checkpoints
    ):
        paths = [Path(each) for each in checkpoints]
    else:
        raise TypeError(
            "checkpoints must be a list of files or a pattern, 'run1/*.safetensors'; "
            f"got {shown(checkpoints)}"
        )
    if not paths:
        raise ConvSpecError("a sweep needs at least one checkpoint; got none")
    absolute = [os.path.abspath(path) for path in paths]
    twice = [path for path in dict.fromkeys(absolute) if absolute.count(path) > 1]
    if twice:
        raise ConvSpecError(
            one_line(f"a checkpoint must be there once; {twice[0]} is there twice")
        )
    shared = os.path.commonpath([os.path.dirname(path) for path in absolute])
    names = [Path(os.path.relpath(path, shared)).as_posix() for path in absolute]
    return tuple(map(CheckpointFile, paths, names, _steps(names)))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """What names sort by: numbers in them by what they are."""
    parts = NUMBER.split(text)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _steps(names: Sequence[str]) -> list[int]:
    """The one number that differs, if it grows; else places."""
    bare = [name.removesuffix(Path(name).suffix) for name in names]
    places = list(range(len(names)))
    if len({NUMBER.sub("#", name) for name in bare}) > 1:
        return places
    numbers = [tuple(map(int, NUMBER.findall(name))) for name in bare]
    columns = list(zip(*numbers, strict=True))
    varying = [found for found in columns if len(set(found)) > 1]
    if len(names) == 1:
        return list(columns[0]) if len(columns) == 1 else places
    if len(varying) != 1:
        return places
    steps = list(varying[0])
    grows = all(a < b for a, b in pairwise(steps))
    return steps if grows else places
