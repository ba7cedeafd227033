"""Reading exported programs, ``.pt2``, from files that nobody trusts.

``torch.export.load`` runs code that a file holds, in torch 2.13 by each of these; the
tests show it:

- pickles that are read without ``weights_only``: tensors and constants whose entry says
  ``use_pickle``; ``opaque_obj_*``; the older ``weights/model.pt``, ``constants/model.pt``
  and ``sample_inputs/model.pt``, with ``weights_only`` first and, where that fails,
  without;
- sizes, ``expr_str``, which ``sympy.sympify`` evaluates as Python;
- ``guards_code``, which becomes Python and runs with the program;
- ``aten::from_file``, which creates the file that it is given.

Further ways, by its source: libraries under ``aotinductor/`` are loaded into the process;
``custom_obj_*`` are made by their classes; the format of torch 2.7 and before is pickled
as a whole. Targets of nodes are looked up from ``torch`` on, ``torch.os`` included, and
names become Python; there other checks of torch 2.13 stand in between.

So nothing here is given to torch as it is in the file. A new archive is made, in memory,
of the graph (after every text in it was checked, see ``exported_graph``) and of the bytes
of weights and constants; all else is left out, sample inputs and guards too. What a
program then computes may still take any time and memory once it is run.
"""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from convspec.files.archive import ZIP, inner, members
from convspec.files.exported_graph import plain_graph, plain_payloads
from convspec.files.reading import first_bytes, readers, require_file, unreadable
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, readable_bytes

__all__ = ["example_shape", "read_exported"]

WHOLE = "be a program that torch.export.save wrote, of torch's operators alone"
AGAIN = "export the model again, with operators and containers of torch and Python"
GRAPH = "models/model.json"
PAYLOADS = {
    "data/weights/": "data/weights/model_weights_config.json",
    "data/constants/": "data/constants/model_constants_config.json",
}
# what says which format it is
FORMAT = ("archive_format", "archive_version", "byteorder", ".data/version")
SAMPLE = "data/sample_inputs/model.pt"
# bytes of an element, by torch's numbers of dtypes
BYTES = {
    **dict.fromkeys((1, 2, 12, 29, 30, 31, 32, 33), 1),
    **dict.fromkeys((3, 6, 13, 28), 2),
    **dict.fromkeys((4, 7, 9, 34), 4),
    **dict.fromkeys((5, 8, 10, 35), 8),
    11: 16,
}


@isolated
def read_exported(
    path: str | os.PathLike[str], *, max_bytes: Bytes = DEFAULT_MAX_BYTES
) -> torch.export.ExportedProgram:
    """The program of a file, on the CPU, without its sample inputs.

    Args:
        path: The file, ``.pt2``.
        max_bytes: What neither the file, nor its members, nor the tensors that they are
            said to hold may exceed.

    Raises:
        TypeError: If max_bytes is no number of bytes.
        UnreadableModel: If the file is another, too large or damaged, or if it calls what
            is not known to compute alone.
    """
    path = Path(path)
    max_bytes = byte_limit(max_bytes)
    require_file(path, max_bytes)
    with readers(path, WHOLE):
        beginning = first_bytes(path, len(ZIP))
    if beginning != ZIP:
        raise unreadable(path, WHOLE, "it is no zip archive", "export the model again")
    clean = io.BytesIO()
    with readers(path, WHOLE, AGAIN):
        held = _members(path, max_bytes)
        _require_graph(path, held)
        with ZipFile(clean, "w") as archive:
            for name, content in _plain_members(path, held, max_bytes).items():
                archive.writestr(f"model/{name}", content)
        held.clear()
        clean.seek(0)
        program = torch.export.load(clean)
        program.module()  # which writes the graph as Python: here it may fail
    return program


@isolated
def example_shape(
    program: torch.export.ExportedProgram,
) -> tuple[Any, ...] | None:
    """The shape of the input that a program was exported with, without the batch.

    One for each input, if there are several. Sizes that are symbols are those of the
    example; others may be given, as far as the program's constraints allow.

    Returns:
        None if an input is no tensor, or if it has no batch.
    """
    inputs = set(program.graph_signature.user_inputs)
    shapes = []
    for node in program.graph.nodes:
        if node.op != "placeholder" or node.name not in inputs:
            continue
        example = node.meta.get("val")
        if not isinstance(example, torch.Tensor) or example.ndim < 2:
            return None
        sizes = [_size(n) for n in example.shape[1:]]
        if None in sizes:
            return None
        shapes.append(tuple(sizes))
    if not shapes or len(shapes) < len(program.graph_signature.user_inputs):
        return None
    return shapes[0] if len(shapes) == 1 else tuple(shapes)


def _size(number: int | torch.SymInt) -> int | None:
    if isinstance(number, int):
        return number
    hint = number.node.hint
    return None if hint is None else int(hint)


def _members(path: Path, max_bytes: float) -> dict[str, bytes]:
    """What an archive holds, under names without the folder that all of them have."""
    held = {}
    found = members(path, max_bytes)
    with ZipFile(path) as archive:
        for each in found:
            name = inner(each.filename)
            if name in held:
                raise ValueError("its members are in several folders")
            held[name] = archive.read(each)
    return held


def _require_graph(path: Path, held: dict[str, bytes]) -> None:
    if GRAPH in held and all(name in held for name in (*FORMAT, *PAYLOADS.values())):
        return
    got, instead = "it is another archive", "give weights to a model, or export one"
    if any(name.startswith("data/aotinductor/") for name in held):
        got, instead = "it holds compiled code", "export the model, uncompiled"
    elif "constants.pkl" in held:
        got, instead = "it is a TorchScript program", "export the model"
    elif any("serialized_exported_program" in name for name in held):
        got, instead = "it is of torch 2.7 or before", "export it with a later torch"
    raise unreadable(path, WHOLE, got, instead)


def _plain_members(
    path: Path, held: dict[str, bytes], max_bytes: float
) -> dict[str, bytes]:
    """The members of an archive that torch may see."""
    plain = {name: held[name] for name in FORMAT}
    plain[GRAPH] = plain_graph(held[GRAPH])
    total = 0
    for folder, config in PAYLOADS.items():
        payloads = plain_payloads(held[config])
        for entry in payloads.values():
            name = folder + entry["path_name"]
            plain[name] = held[name]
            total += _require_held(entry["tensor_meta"], len(held[name]))
        plain[config] = json.dumps({"config": payloads}).encode()
    if total > max_bytes:
        raise unreadable(
            path,
            f"hold no more than max_bytes = {readable_bytes(max_bytes)} of tensors",
            f"they have {readable_bytes(total)}",
            "raise max_bytes if you trust it",
        )
    plain[SAMPLE] = b""
    return plain


def _require_held(meta: dict[str, Any], size: int) -> int:
    """The bytes of a tensor, of which its member holds some."""
    sizes, strides = (
        [int(each["as_int"]) for each in meta[key]] for key in ("sizes", "strides")
    )
    offset, each = int(meta["storage_offset"]["as_int"]), BYTES[meta["dtype"]]
    needed = math.prod(sizes)
    if min([offset, *sizes, *strides]) < 0 or len(sizes) != len(strides):
        raise ValueError("a tensor has a negative size")
    last = offset + sum((n - 1) * by for n, by in zip(sizes, strides, strict=True))
    if needed and (last + 1) * each > size:
        raise ValueError("a tensor is larger than what is held of it")
    return needed * each
