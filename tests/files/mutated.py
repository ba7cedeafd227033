"""Files with faults, read in a process that is refused more than some memory.

``python -m tests.files.mutated FORMAT COUNT SEED`` reads that many and answers with JSON:
how often they were read, refused, or raised what they may not; and the memory added.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from convspec.errors import UnreadableModel
from convspec.files.exported_file import read_exported
from convspec.files.weights_file import read_weights
from tests.resident import peak_bytes

MAX_BYTES = 2**26
ADDRESSES = 4 * 2**30
# of one file; a limit of seconds tells a loop from work
SECONDS = 20.0


def _state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"first.weight": (4, 3, 3, 3), "first.bias": (4,), "deep.weight": (2, 4, 5)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float32)
        for name, shape in shapes.items()
    }


def _export(path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    sizes = ({2: torch.export.Dim("height", min=8, max=64)},)
    image = torch.ones(1, 3, 16, 16, dtype=torch.float32)
    torch.export.save(torch.export.export(net, (image,), dynamic_shapes=sizes), path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "safetensors": lambda path: save_file(_state(), path),
    "zip": lambda path: torch.save(_state(), path),
    "pickle": lambda path: torch.save(
        _state(), path, _use_new_zipfile_serialization=False
    ),
    "pt2": _export,
    "pt2 values": _export,
}
# bytes that lengths, marks and opcodes are made of
TELLING = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A copy with some faults: bytes, numbers, pieces moved, lost or doubled, an end."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(found))
        to = min(len(found), at + chance.choice((1, 2, 4, 8, 64, 512)))
        kind = chance.randrange(7)
        if kind == 0:
            found[at] = chance.choice((*TELLING, chance.randrange(256)))
        elif kind == 1:
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            found[at:to] = bytes([chance.choice(TELLING)]) * (to - at)
        elif kind == 3:
            del found[at:to]
        elif kind == 4:
            found[at:at] = found[at:to]
        elif kind == 5:
            other = chance.randrange(len(found))
            found[at:to] = found[other : other + to - at]
        else:
            digits = [n for n, byte in enumerate(found) if 0x30 <= byte <= 0x39]
            if digits:
                found[chance.choice(digits)] = 0x30 + chance.randrange(10)
        if not found:
            return b""
    if chance.random() < 0.1:
        del found[chance.randrange(len(found)) :]
    return bytes(found)


def repaired(content: bytes) -> bytes:
    """An archive with the checksums of what it holds, so that faults reach the reader."""
    buffer = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(content)) as old,
            zipfile.ZipFile(buffer, "w") as to,
        ):
            old_members = old.infolist()
            for each in old_members:
                start = each.header_offset + 30 + len(each.filename)
                extra = int.from_bytes(
                    content[start - len(each.filename) - 2 :][:2], "little"
                )
                to.writestr(each.filename, content[start + extra :][: each.file_size])
    except Exception:
        return content
    return buffer.getvalue()


VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 2, 7, 2**31, 2**40, -(2**63), 2**64, 1e308, -0.5, True, False, None),
    *("", "x", "weight", "features", "NaN", "-Infinity", "cuda", "meta", "s0", "s0*9"),
    *([], {}, [None], [[]], {"as_int": 3}, {"as_none": True}, {"name": "x"}),
)


def _places(held: Any) -> list[tuple[Any, Any]]:
    """Every place of a value: what it is in, and its key or index."""
    places = []
    keys = held if isinstance(held, dict) else range(len(held))
    for key in keys:
        places.append((held, key))
        if isinstance(held[key], dict | list):
            places += _places(held[key])
    return places


def revalued(content: bytes, chance: random.Random) -> bytes:
    """A copy of an archive with values of its JSON lost, doubled or replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as to:
        texts = [name for name in old.namelist() if name.endswith(".json")]
        chosen = chance.choice(texts + 3 * [n for n in texts if "models" in n])
        for name in old.namelist():
            member = old.read(name)
            if name == chosen:
                held = json.loads(member)
                for _ in range(chance.choice((1, 1, 2, 3))):
                    _revalue(held, chance)
                member = json.dumps(held).encode()
            to.writestr(name, member)
    return buffer.getvalue()


def _revalue(held: Any, chance: random.Random) -> None:
    places = _places(held)
    if not places:
        return
    where, key = chance.choice(places)
    other, its = chance.choice(places)
    kind = chance.randrange(4)
    if kind == 0:
        del where[key]
    elif kind == 1 and not isinstance(other[its], dict | list):
        where[key] = other[its]
    elif kind == 2:
        number = where[key] if isinstance(where[key], int) else 0
        where[key] = chance.choice((number - 1, number + 1, 8 * number, -number))
    else:
        where[key] = json.loads(json.dumps(chance.choice(VALUES)))


def _faulty(kind: str, content: bytes, chance: random.Random) -> bytes:
    if kind == "pt2 values":
        return revalued(content, chance)
    faulty = mutated(content, chance)
    return repaired(faulty) if chance.random() < 0.6 else faulty


def main(kind: str, count: int, seed: int) -> None:
    """Write the file, and read it with faults."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    exported = kind.startswith("pt2")
    read = read_exported if exported else read_weights
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.pt2" if exported else "model.pth")
        WRITERS[kind](path)
        content = path.read_bytes()
        read(path, max_bytes=MAX_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        before = peak_bytes()
        for number in range(count):
            chance = random.Random(f"{kind} {seed} {number}")
            path.write_bytes(_faulty(kind, content, chance))
            start = time.perf_counter()
            try:
                read(path, max_bytes=MAX_BYTES)
                outcomes["read"] += 1
            except UnreadableModel as error:
                said = str(error)
                right = said.startswith(str(path)) and said.isprintable()
                outcomes["refused" if right else f"badly said: {said}"] += 1
            except BaseException as error:
                outcomes[f"{number}: {type(error).__name__}: {error}"] += 1
            slowest = max(slowest, time.perf_counter() - start)
    found = {"outcomes": outcomes, "added": peak_bytes() - before, "slowest": slowest}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
