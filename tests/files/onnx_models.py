"""ONNX models in a few words, and what they compute by onnx's own evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from convspec.files.onnx_model import OnnxModel
from convspec.model.sites import Call
from tests.gaussian import gaussian

node = helper.make_node
OPSET = 22


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    """Sixteenths, whose products with one-hot images are exact in single precision."""
    return ((16 * gaussian(seed, *shape)).round() / 16).numpy().astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def value(name: str, shape: Sequence[Any] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[Any],
    shape: Sequence[Any],
    tensors: Mapping[str, Any],
    *,
    opset: int = OPSET,
    functions: Sequence[Any] = (),
    kind: int = TensorProto.FLOAT,
    domains: Sequence[str] = (),
    outputs: Sequence[str] = ("y",),
    batch: Any = "N",
) -> Any:
    """A model of x, a batch of images of this shape, to y."""
    made = [
        each
        if isinstance(each, onnx.TensorProto)
        else numpy_helper.from_array(each, name)
        for name, each in tensors.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [value("x", [batch, *shape], kind)],
        [value(name, None, kind) for name in outputs],
        made,
    )
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(domain, 1) for domain in domains]
    return helper.make_model(
        graph, opset_imports=imports, functions=list(functions), ir_version=10
    )


def opened(made: Any, path: Path) -> OnnxModel:
    file = path / "model.onnx"
    file.write_bytes(made.SerializeToString())
    return OnnxModel.open(file)


def calls(made: Any, path: Path, shape: tuple[int, ...], **given: Any) -> list[Call]:
    return opened(made, path).trace(shape, **given).calls


def only(found: Sequence[Call]) -> Call:
    (call,) = found
    return call


def computed(made: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Tensor:
    """The linear part of a model as a matrix, by one-hot images one at a time."""
    session = ReferenceEvaluator(made)
    size = int(np.prod(shape))
    images = np.concatenate([np.zeros((1, size)), np.eye(size)]).astype(dtype)
    columns = [
        np.asarray(session.run(None, {"x": image.reshape(1, *shape)})[0]).reshape(-1)
        for image in images
    ]
    found = np.stack(columns[1:], axis=1).astype(np.float64) - columns[0][:, None]
    return torch.from_numpy(found)
