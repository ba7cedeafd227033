"""Headers of safetensors files, and what they may say that is not so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convspec.errors import UnreadableModel
from convspec.files.weights_file import read_weights
from tests.hostile_files import safetensors


def entry(dtype: object = "F32", shape: object = (2,), at: object = (0, 8)) -> Any:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": at}}


HEADERS: dict[str, tuple[object, int, int, str]] = {
    # header, bytes behind it, length that it says, what is said
    "long": (entry(), 8, 10**6, "header"),
    "endless": (entry(), 8, 2**63, "header"),
    "no JSON": (b"{" * 100, 0, -1, "JSON"),
    "deep": (b'{"a":' * 10**5, 0, -1, "JSON"),
    "list": (b"[]", 0, -1, "written by torch.save"),
    "unknown dtype": (entry("F12"), 8, -1, "'F12'"),
    "no dtype": (entry(None), 8, -1, "None"),
    "list as dtype": (entry([]), 8, -1, "dtype"),
    "beyond": (entry(at=(0, 8)), 4, -1, "offsets"),
    "before": (entry(at=(-4, 4)), 8, -1, "data_offsets"),
    "backward": (entry(at=(8, 0)), 8, -1, "bytes of its shape"),
    "gap": (entry(at=(4, 12)), 12, -1, "offsets"),
    "behind": (entry(), 12, -1, "offsets"),
    "shape": (entry(shape=(3,)), 8, -1, "bytes of its shape"),
    "negative shape": (entry(shape=(-2, -1)), 8, -1, "shape"),
    "huge shape": (entry(shape=(2**40, 2**40)), 8, -1, "bytes of its shape"),
    "text": ({"w": "x"}, 8, -1, "describe"),
    "overlap": (
        {**entry(), "v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
        8,
        -1,
        "overlap",
    ),
    "fractions": (entry(at=(0.0, 8.0)), 8, -1, "data_offsets"),
    "nothing": ({}, 0, -1, "hold tensors by name"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_lie(tmp_path: Path, case: str) -> None:
    header, behind, length, said = HEADERS[case]
    path = safetensors(tmp_path / "a.safetensors", header, bytes(behind), length)
    with pytest.raises(UnreadableModel) as caught:
        read_weights(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path} must ")
    assert str(caught.value).isprintable()


def test_a_header_as_it_should_be(tmp_path: Path) -> None:
    numbers = np.array([1.5, -2.0], dtype="<f4").tobytes()
    header = {"__metadata__": {"format": "pt"}, **entry()}
    path = safetensors(tmp_path / "a.safetensors", header, numbers)
    assert read_weights(path)["w"].tolist() == [1.5, -2.0]
