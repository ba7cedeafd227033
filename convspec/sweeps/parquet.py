"""The table of a sweep in a Parquet file, and back as a data frame."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convspec.errors import ConvSpecError
from convspec.extras import import_extra
from convspec.files.reading import require_file, unreadable
from convspec.isolation import isolated
from convspec.sweeps.rows import Row, columns, kind_of

__all__ = [
    "FORMAT",
    "arrow_table",
    "as_bytes",
    "as_frame",
    "parquet_module",
    "read_sweep",
]

EXTRA = "sweep"
FORMAT = 1
KEY = b"convspec"
MOST_BYTES = 2**33
WANTED = "be a sweep that to_parquet or convspec sweep wrote"
AGAIN = "sweep the checkpoints again"


def parquet_module() -> Any:
    """``pyarrow.parquet``.

    Raises:
        MissingExtra: Without pyarrow, which ``convspec[sweep]`` installs.
    """
    import_extra("pyarrow", EXTRA)
    return import_extra("pyarrow.parquet", EXTRA)


def arrow_table(rows: Sequence[Row], about: Mapping[str, Any]) -> Any:
    """The rows as a table of pyarrow, what the sweep was in its metadata.

    Raises:
        MissingExtra: Without pyarrow, which ``convspec[sweep]`` installs.
    """
    arrow = import_extra("pyarrow", EXTRA)
    kinds = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "list": arrow.list_(arrow.float64()),
    }
    held = {name: [row.get(name) for row in rows] for name in columns(rows)}
    of = {name: kind_of(name, values) for name, values in held.items()}
    arrays = [
        arrow.array(_numbers(values) if of[name] == "number" else values, kinds[of[name]])
        for name, values in held.items()
    ]
    said = json.dumps({"kind": "sweep", "format": FORMAT, **about})
    schema = arrow.schema(
        [(name, kinds[of[name]]) for name in held], metadata={KEY: said.encode()}
    )
    return arrow.Table.from_arrays(arrays, schema=schema)


def _numbers(values: Sequence[Any]) -> list[float | None]:
    return [None if value is None else float(value) for value in values]


def as_bytes(table: Any) -> bytes:
    """The content of a Parquet file."""
    arrow = import_extra("pyarrow", EXTRA)
    stream = arrow.BufferOutputStream()
    parquet_module().write_table(
        table, stream, compression="zstd" if _has_zstd(arrow) else "snappy"
    )
    content: bytes = stream.getvalue().to_pybytes()
    return content


def _has_zstd(arrow: Any) -> bool:
    return bool(arrow.Codec.is_available("zstd"))


def as_frame(table: Any) -> Any:
    """The table as a pandas DataFrame; what the sweep was is in ``.attrs``.

    Raises:
        MissingExtra: Without pandas.
    """
    import_extra("pandas", EXTRA)
    frame = table.to_pandas(ignore_metadata=True)
    frame.attrs["convspec"] = json.loads(table.schema.metadata[KEY])
    return frame


@isolated
def read_sweep(path: str | os.PathLike[str]) -> Any:
    """The table of a sweep as a pandas DataFrame, one row per checkpoint and layer.

    Numbers are float64 to the last bit, infinities too; what is not known is NaN, and of
    words and quantiles None or NaN, as pandas has it. ``frame.attrs["convspec"]`` says
    what was swept: ``"checkpoints"``, ``"failed"`` with a reason for each, and
    ``"provenance"``.

    Args:
        path: A file that :meth:`Sweep.to_parquet` or ``convspec sweep`` wrote.

    Raises:
        UnreadableModel: If it is none, damaged, or of a later convspec.
        MissingExtra: Without pyarrow and pandas, which ``convspec[sweep]`` installs.
    """
    parquet = parquet_module()
    import_extra("pandas", EXTRA)
    file = Path(path)
    require_file(file, MOST_BYTES)
    try:
        with open(file, "rb") as stream:
            held = parquet.ParquetFile(stream)
            _require_sweep(file, held.schema_arrow.metadata or {})
            return as_frame(held.read())
    except ConvSpecError:
        raise
    except Exception as error:  # of pyarrow, about bytes that anyone may have written
        got = f"{type(error).__name__}: {error}"
        raise unreadable(file, WANTED, got, AGAIN) from error


def _require_sweep(file: Path, metadata: Mapping[bytes, bytes]) -> None:
    """Refuse tables of others, and of later formats."""
    if KEY not in metadata:
        raise unreadable(file, WANTED, "it is a table of another program", AGAIN)
    said = json.loads(metadata[KEY])
    if not isinstance(said, dict) or said.get("kind") != "sweep":
        raise unreadable(file, WANTED, "it is none", AGAIN)
    if said.get("format") != FORMAT:
        got = f"its format is {said.get('format')!r}, and this convspec reads {FORMAT}"
        raise unreadable(file, WANTED, got, "read it with the convspec that wrote it")
