"""Geometry that a state dict does not tell: a file in TOML, by names of layers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from convspec.arguments import is_integer
from convspec.extras import import_extra
from convspec.files.reading import readers, require_file, unreadable
from convspec.operators.padding_mode import PADDING_MODES

__all__ = ["LayerGeometry", "matched", "read_geometry"]

# no such file is longer
MAX_BYTES = 2**24
NUMBERS = {"stride": 1, "dilation": 1, "padding": 0, "output_padding": 0, "size": 1}
KEYS = (*NUMBERS, "groups", "padding_mode", "transposed")
EXAMPLE = 'write [[layer]], names = "features.*", stride = 2'


@dataclass(frozen=True)
class LayerGeometry:
    """What an entry says of the layers that it names.

    Attributes:
        names: A pattern with ``*``, ``?`` and ``[...]``.
        given: Arguments by name, as torch's layers have them; and ``size``.
    """

    names: str
    given: dict[str, Any] = field(default_factory=dict)


def read_geometry(path: Path) -> list[LayerGeometry]:
    """The entries of a file, in their order.

    Raises:
        UnreadableModel: If it is no TOML, or if an entry has unknown keys or values that
            no layer has.
    """
    require_file(path, MAX_BYTES)
    with readers(path, "be a geometry file in TOML"):
        toml = import_extra("tomllib" if sys.version_info >= (3, 11) else "tomli", "cli")
        held = toml.loads(path.read_text(encoding="utf-8"))
    entries = held.get("layer")
    if set(held) - {"layer"} or not isinstance(entries, list) or not entries:
        raise unreadable(
            path,
            "hold [[layer]] entries alone",
            f"it holds {', '.join(held) or 'nothing'}",
            EXAMPLE,
        )
    return [_layer(path, entry) for entry in entries]


def _layer(path: Path, entry: object) -> LayerGeometry:
    given = dict(entry) if isinstance(entry, dict) else {}
    names = given.pop("names", None)
    if not isinstance(names, str) or not names:
        raise unreadable(
            path, "name layers in each [[layer]]", f"one has names = {names!r}", EXAMPLE
        )
    for key, value in given.items():
        wrong = _fault(key, value)
        if wrong:
            must, instead = wrong
            raise unreadable(path, must, f"{names!r} has {key} = {value!r}", instead)
    return LayerGeometry(names, given)


def _fault(key: str, value: object) -> tuple[str, str] | None:
    """What must hold and what to do instead, if a value is wrong."""
    if key not in KEYS:
        return f"have no keys but names, {', '.join(KEYS)}", "remove it"
    if key == "transposed":
        right = isinstance(value, bool)
        return None if right else ("have true or false there", "write one of them")
    if key == "groups":
        right = is_integer(value) and _number(value) >= 1
        return None if right else ("have a positive number there", "write groups = 1")
    if key == "padding_mode":
        names = value if isinstance(value, list) and value else [value]
        right = all(isinstance(name, str) and name in PADDING_MODES for name in names)
        known = ", ".join(PADDING_MODES)
        return None if right else (f"have one of {known} there", "write one of them")
    if key == "padding" and value in ("same", "valid"):
        return None
    numbers = value if isinstance(value, list) else [value]
    least = NUMBERS[key]
    if numbers and all(is_integer(n) and _number(n) >= least for n in numbers):
        return None
    many = f"integers from {least} on, one or one for each axis"
    return f"have {many}, there", f"write {key} = {max(least, 1)}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def matched(
    path: Path, entries: Sequence[LayerGeometry], names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """What is given for each name: all of the last entry that matches it.

    Raises:
        UnreadableModel: If an entry matches none.
    """
    layers = list(names)
    for entry in entries:
        if not any(fnmatchcase(name, entry.names) for name in layers):
            raise unreadable(
                path,
                "name layers of the checkpoint",
                f"{entry.names!r} matches none of {', '.join(layers)}",
                "correct the pattern",
            )
    return {
        name: next((e.given for e in reversed(entries) if fnmatchcase(name, e.names)), {})
        for name in layers
    }
