"""The numbers of ONNX tensors, their sizes checked against what they are made of."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convspec.errors import UnreadableModel
from convspec.files.onnx_file import Proto, bytes_of
from convspec.limits import readable_bytes

__all__ = ["TYPES", "Folder", "entries_of", "require_sizes", "type_name"]

# Number of the type in the standard: name, bits, the field of typed data, torch's type.
# Of those without a torch type the numbers are not read.
TYPES: dict[int, tuple[str, int, str, torch.dtype | None]] = {
    1: ("FLOAT", 32, "float_data", torch.float32),
    2: ("UINT8", 8, "int32_data", torch.uint8),
    3: ("INT8", 8, "int32_data", torch.int8),
    4: ("UINT16", 16, "int32_data", torch.int32),
    5: ("INT16", 16, "int32_data", torch.int16),
    6: ("INT32", 32, "int32_data", torch.int32),
    7: ("INT64", 64, "int64_data", torch.int64),
    8: ("STRING", 0, "string_data", None),
    9: ("BOOL", 8, "int32_data", torch.bool),
    10: ("FLOAT16", 16, "int32_data", torch.float16),
    11: ("DOUBLE", 64, "double_data", torch.float64),
    12: ("UINT32", 32, "uint64_data", torch.int64),
    13: ("UINT64", 64, "uint64_data", None),
    14: ("COMPLEX64", 64, "float_data", None),
    15: ("COMPLEX128", 128, "double_data", None),
    16: ("BFLOAT16", 16, "int32_data", torch.bfloat16),
    21: ("UINT4", 4, "int32_data", torch.uint8),
    22: ("INT4", 4, "int32_data", torch.int8),
}
# torch's types as they lie in memory, where the standard's are others
STORED = {4: "<u2", 12: "<u4", 9: "<u1", 10: "<u2", 16: "<u2", 21: "<u1", 22: "<u1"}
EXTERNAL = 1  # data_location


def type_name(number: int) -> str:
    """What the standard calls a type of tensors."""
    return TYPES[number][0] if number in TYPES else f"number {number}"


def entries_of(tensor: Proto) -> int:
    """How many numbers a tensor has by its dimensions.

    Raises:
        UnreadableModel: If one is negative, or they are absurd.
    """
    dims = list(tensor.dims)
    count: int = math.prod(dims)
    if min(dims, default=0) < 0 or count >= 2**48 or len(dims) > 64:
        raise UnreadableModel(
            f"the dimensions of tensor {tensor.name!r} must be sizes; got {dims[:8]}; "
            "export the model again"
        )
    return count


def require_sizes(tensor: Proto) -> None:
    """Refuse a tensor whose dimensions say more or less than it holds.

    Raises:
        UnreadableModel: For that.
    """
    count = entries_of(tensor)
    if tensor.data_location == EXTERNAL or tensor.data_type not in TYPES:
        return
    _, bits, field, _ = TYPES[tensor.data_type]
    if tensor.HasField("segment"):
        raise UnreadableModel(
            f"tensor {tensor.name!r} must be in one piece; it is a segment; save the "
            "model in one piece"
        )
    if tensor.HasField("raw_data"):
        wanted, held = -(-count * bits // 8), len(tensor.raw_data)
    else:
        parts = 2 if tensor.data_type in (14, 15) else 1
        wanted = -(-count // 2) if bits == 4 else count * parts
        held = len(getattr(tensor, field))
    if wanted != held:
        raise UnreadableModel(
            f"tensor {tensor.name!r} must hold what its dimensions {list(tensor.dims)} "
            f"say, {wanted}; it holds {held}; fetch the file again"
        )


class Folder:
    """The folder of a model: reads tensors, with data that lies in files beside it."""

    def __init__(self, path: Path, max_bytes: float) -> None:
        self.path = path
        self.max_bytes = max_bytes

    def tensor(self, tensor: Proto) -> Tensor | None:
        """The numbers; None if their type is none that is read.

        Raises:
            UnreadableModel: If they are not there, or not as many as they should be.
        """
        kind = tensor.data_type
        _, bits, _, dtype = TYPES.get(kind, ("", 0, "", None))
        if dtype is None:
            return None
        count = entries_of(tensor)
        needed = count * dtype.itemsize
        if needed > self.max_bytes:
            raise UnreadableModel(
                f"tensor {tensor.name!r} must fit max_bytes = "
                f"{readable_bytes(self.max_bytes)}; it needs {readable_bytes(needed)}; "
                "raise max_bytes"
            )
        if tensor.data_location == EXTERNAL:
            raw = self._beside(tensor, -(-count * bits // 8))
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data
        else:
            return _typed(tensor, dtype).reshape(tuple(tensor.dims))
        return _raw(raw, kind, count, dtype).reshape(tuple(tensor.dims))

    def _beside(self, tensor: Proto, wanted: int) -> bytes:
        """What lies in a file beside the model, inside of its folder alone."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = entries.get("location", "")
        where = f"the data of tensor {tensor.name!r}"
        offset, length = (_number(entries.get(k), where) for k in ("offset", "length"))
        folder = self.path.parent
        try:
            file = (folder / place).resolve()
            inside = file.is_relative_to(folder.resolve())
        except (OSError, ValueError, RuntimeError):  # loops of links, null bytes
            inside = False
        parts = place.replace("\\", "/").split("/")
        if not inside or ".." in parts or Path(place).is_absolute() or not place:
            raise UnreadableModel(
                f"{where} must lie in the model's folder; its file is {place[:100]!r}; "
                "save the model with its data beside it"
            )
        if length is not None and length != wanted:
            raise UnreadableModel(
                f"{where} must be what its dimensions {list(tensor.dims)} say, {wanted} "
                f"bytes; it has {length}; fetch the file again"
            )
        try:
            return bytes_of(file, self.max_bytes, offset or 0, wanted)
        except UnreadableModel as error:
            raise UnreadableModel(f"{where}, {place[:100]!r}: {error}") from error


def _number(text: str | None, where: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UnreadableModel(
            f"{where} must have an offset and a length that are numbers; got "
            f"{text[:40]!r}; export the model again"
        )
    return int(text)


def _raw(raw: bytes, kind: int, count: int, dtype: torch.dtype) -> Tensor:
    """Numbers of little-endian bytes."""
    if kind in (21, 22):
        pairs = np.frombuffer(raw, dtype=np.uint8)
        halves = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1)[:count]
        return _signed(torch.from_numpy(halves.copy()), kind)
    stored = STORED.get(kind) or "<" + np.dtype(str(dtype).split(".")[1]).str[1:]
    return _of_stored(np.frombuffer(raw, dtype=stored), kind, dtype)


def _typed(tensor: Proto, dtype: torch.dtype) -> Tensor:
    """Numbers of a field of typed data, in which small types are wide integers."""
    kind = tensor.data_type
    values = getattr(tensor, TYPES[kind][2])
    if kind in (21, 22):
        packed = np.array(values, dtype=np.int64).astype(np.uint8).tobytes()
        return _raw(packed, kind, entries_of(tensor), dtype)
    wide = np.array(values, dtype=_wide(kind))
    if kind in STORED:
        return _of_stored(wide.astype(STORED[kind]), kind, dtype)
    return torch.from_numpy(wide).to(dtype)


def _wide(kind: int) -> str:
    field = TYPES[kind][2]
    return {"float_data": "f4", "double_data": "f8", "uint64_data": "u8"}.get(field, "i8")


def _of_stored(stored: np.ndarray, kind: int, dtype: torch.dtype) -> Tensor:
    """Numbers as torch has them of how the standard stores them."""
    if kind in (10, 16):  # torch has no unsigned type of this width that does more
        return torch.from_numpy(stored.view("<i2").copy()).view(dtype)
    if kind == 9:
        return torch.from_numpy(stored != 0)
    wide = {4: "i4", 12: "i8"}.get(kind, stored.dtype)
    return torch.from_numpy(stored.astype(wide))


def _signed(halves: Tensor, kind: int) -> Tensor:
    """Numbers of four bits, 0 to 15 or -8 to 7."""
    if kind == 21:
        return halves
    whole = halves.to(torch.int8)
    return torch.where(whole > 7, whole - 16, whole)
