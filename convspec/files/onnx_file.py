"""Opening an ONNX file: its size, its messages, and whether its text can be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convspec.errors import ConvSpecError, UnreadableModel
from convspec.extras import import_extra
from convspec.limits import readable_bytes

__all__ = ["Proto", "answered", "bytes_of", "messages_of", "model_of", "onnx"]

# a message of protobuf, whose classes are made when onnx is imported
Proto = Any
LONGEST = 200  # that another's error is repeated


def onnx(module: str = "onnx") -> Any:
    """The package, or a module of it.

    Raises:
        MissingExtra: If it is not installed.
    """
    return import_extra(module, "onnx")


@contextmanager
def answered(what: str) -> Iterator[None]:
    """Say in a line what onnx or protobuf, which raise whatever they like, refuse.

    Raises:
        UnreadableModel: In place of any exception.
    """
    try:
        yield
    except ConvSpecError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:LONGEST]
        raise UnreadableModel(
            f"{what}; {type(error).__name__}: {words}; export the model again"
        ) from error


def bytes_of(
    path: Path, max_bytes: float, offset: int = 0, length: int | None = None
) -> bytes:
    """What a file holds from an offset on, its size checked before it is read.

    Args:
        path: A plain file; links are followed.
        max_bytes: The most that is read.
        offset: Where it starts.
        length: How much; all that is left without one.

    Raises:
        UnreadableModel: If it is no plain file, larger, or shorter.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever
            raise UnreadableModel("it must be a plain file; it is none; give one")
        wanted = found.st_size - offset if length is None else length
        if wanted > max_bytes:
            raise UnreadableModel(
                f"it must fit max_bytes = {readable_bytes(max_bytes)}; it has "
                f"{readable_bytes(wanted)}; raise max_bytes"
            )
        if min(offset, wanted) < 0 or offset + wanted > found.st_size:
            raise UnreadableModel(
                f"it must hold {wanted} bytes from {offset} on; it has {found.st_size}; "
                "fetch it again"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(wanted)
    except (OSError, ValueError) as error:  # a null byte in a name is a ValueError
        words = getattr(error, "strerror", None) or str(error)
        raise UnreadableModel(
            f"it must be a file that can be read; {words.lower()}; check the path and "
            "its permissions"
        ) from error


def model_of(content: bytes) -> Proto:
    """The model that a file's bytes encode.

    Raises:
        UnreadableModel: If they encode none, or one without a graph.
    """
    message = onnx().ModelProto()
    with answered("it must be an ONNX model; protobuf cannot read it"):
        message.ParseFromString(content)
        for each in messages_of(message):  # whose text is read on the way
            del each
        has_graph = message.HasField("graph") and len(message.graph.node) > 0
    if not has_graph:
        raise UnreadableModel(
            "it must be an ONNX model with a graph of operations; it holds none; give "
            "the file that torch.onnx.export or another exporter wrote"
        )
    return message


def messages_of(message: Proto) -> Iterator[Proto]:
    """A message and all in it; each string is read, which raises if it is no UTF-8."""
    left = [message]
    while left:
        message = left.pop()
        yield message
        for field, value in message.ListFields():
            if field.type == field.TYPE_STRING:
                some = [value] if isinstance(value, str | bytes) else value
                if not all(isinstance(each, str) for each in some):  # as upb says so
                    raise ValueError(f"{field.name} is no UTF-8")
            elif field.type == field.TYPE_MESSAGE:
                left.extend([value] if hasattr(value, "ListFields") else value)
