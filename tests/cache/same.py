"""Whether two values are the same, to the last bit and the class."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch

import convspec as cs
from convspec.report.model import ModelReport

TIMES = {"seconds", "date"}


def assert_same(found: Any, value: Any) -> None:
    """The values, their classes and all that they hold are the same."""
    assert type(found) is type(value)
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            assert_same(getattr(found, field.name), getattr(value, field.name))
    elif isinstance(value, np.ndarray | np.generic):
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        assert np.array_equal(_bits(found), _bits(value))
    elif isinstance(value, torch.Tensor):
        assert found.dtype == value.dtype
        torch.testing.assert_close(found, value, rtol=0, atol=0)
    elif isinstance(value, dict):
        assert list(found) == list(value)
        for name, each in value.items():
            assert_same(found[name], each)
    elif isinstance(value, tuple | list):
        for one, other in zip(found, value, strict=True):
            assert_same(one, other)
    elif isinstance(value, float) and math.isnan(value):
        assert math.isnan(found)
    else:
        assert found == value


def _bits(array: Any) -> Any:
    return np.frombuffer(np.asarray(array).tobytes(), dtype=np.uint8)


def timeless(value: Any) -> Any:
    """What is the same in two reports of one analysis: all but when and how long."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in TIMES}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def assert_same_reports(found: ModelReport, report: ModelReport) -> None:
    """Rows, what they hold, and all that JSON says but dates and seconds."""
    assert timeless(found.to_dict()) == timeless(report.to_dict())
    for one, other in zip(found, report, strict=True):
        assert_same_rows(one, other)


def assert_same_rows(found: cs.LayerReport, row: cs.LayerReport) -> None:
    """All results of a row, to the last bit."""
    for name in ("spectrum", "norm", "circular", "worst_case", "reshaped", "left_out"):
        assert_same(getattr(found, name), getattr(row, name))
    assert_same(found.envelope, row.envelope)
    assert_same(dict(found.estimates), dict(row.estimates))
