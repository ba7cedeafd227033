"""Real models through the command line, from every format that they come in.

``python -m benchmarks sources``. Rows of a model must be the same whatever they are read
from: as many, of the same kernels, with norms that agree to 1e-6.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

import convspec as cs
from benchmarks.problem import Unavailable
from benchmarks.trained import fetched
from convspec.cli import main
from convspec.demo.weights import fetch_mobilenet, load_mobilenet
from convspec.demo.wheels import WheelFile
from convspec.model.source import ReadModel

__all__ = [
    "MODELS",
    "Read",
    "compared",
    "ocr_module",
    "read_all",
    "silero",
    "sources_text",
]

EQUAL = 1e-6
OCR = WheelFile(
    "rapidocr-onnxruntime==1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
    "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    "PP-OCRv4's text detector",
)
SILERO = {
    name: WheelFile(
        "silero-vad==6.2.3",
        "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        f"silero_vad/data/{name}",
        sha256,
        "Silero's voice activity detector",
    )
    for name, sha256 in (
        (
            "silero_vad_16k.safetensors",
            "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
        ),
        (
            "silero_vad_16k_op15.onnx",
            "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        ),
        (
            "silero_vad_openvino_16k.onnx",
            "7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87",
        ),
    )
}
# of 576 samples and the 64 that reflect them
SILERO_SIZES = """
[[layer]]
names = "stft_conv"
stride = 128
size = [640]
[[layer]]
names = "conv1"
padding = 1
size = [4]
[[layer]]
names = "conv2"
padding = 1
stride = 2
size = [4]
[[layer]]
names = "conv3"
padding = 1
stride = 2
size = [2]
[[layer]]
names = "conv4"
padding = 1
size = [1]
[[layer]]
names = "final_conv"
size = [1]
"""

# words of a command behind ``analyze``, by the name of the format
Commands = Iterator[tuple[str, list[str]]]


@dataclass(frozen=True)
class Read:
    """A model read from one format.

    Attributes:
        model: Its name.
        source: The format.
        norms: Of all rows, by their kernels, in order.
        seconds: Of the command.
        gap: The largest relative distance to the norms of the first format; infinite if
            kernels differ.
    """

    model: str
    source: str
    norms: tuple[tuple[str, float], ...]
    seconds: float
    gap: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether it says what the first format says."""
        return self.gap <= EQUAL


def _mobilenet(folder: Path) -> Commands:
    model, shape = load_mobilenet(), (3, 224, 224)
    image = torch.zeros(1, *shape)
    size = ["--input-shape", "3,224,224"]
    factory = "convspec.demo.mobilenet:MobileNetV2"
    yield "factory and checkpoint", [factory, "--weights", str(fetch_mobilenet()), *size]
    torch.export.save(torch.export.export(model, (image,)), folder / "model.pt2")
    yield "exported program", [str(folder / "model.pt2")]
    _write_onnx(model, image, folder / "model.onnx")
    yield "ONNX written by torch", [str(folder / "model.onnx")]
    torch.save(model.state_dict(), folder / "model.pth")
    (folder / "sizes.toml").write_text(_geometry(model, shape))
    toml = str(folder / "sizes.toml")
    yield "checkpoint and TOML", [str(folder / "model.pth"), "--geometry", toml]


def _ocr(folder: Path) -> Commands:
    path = folder / "model.onnx"
    path.write_bytes(fetched(OCR))
    size = ["--input-shape", "3,64,64"]
    yield "ONNX", [str(path), *size]
    yield "module made of it", ["benchmarks.sources:ocr_module", *size]


def ocr_module() -> nn.Module:
    """What PP-OCRv4's file computes, on 64 x 64 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(fetched(OCR))
        opened = cs.open_model(path).model
        assert isinstance(opened, ReadModel)
        return opened.module((3, 64, 64))[0]


class Silero(nn.Module):
    """The convolutions of Silero's detector: a Fourier basis, four layers, a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """A number of 640 samples; what remembers earlier ones is left out."""
        x = self.stft_conv(x)
        x = torch.sqrt(x[:, :129] ** 2 + x[:, 129:] ** 2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.relu(layer(x))
        return torch.sigmoid(self.final_conv(x))


def silero() -> nn.Module:
    """With its trained weights."""
    weights = load(fetched(SILERO["silero_vad_16k.safetensors"]))
    model = Silero()
    model.load_state_dict({k: v for k, v in weights.items() if "lstm" not in k})
    return model.eval()


def _silero(folder: Path) -> Commands:
    path = folder / "weights.safetensors"
    path.write_bytes(fetched(SILERO["silero_vad_16k.safetensors"]))
    (folder / "sizes.toml").write_text(SILERO_SIZES)
    yield "safetensors and TOML", [str(path), "--geometry", str(folder / "sizes.toml")]
    yield "module", ["benchmarks.sources:silero", "--input-shape", "1,640"]


def _silero_graphs(folder: Path) -> Commands:
    """Other weights than the checkpoint's, in two files."""
    for name, sizes in (("openvino_16k", "576;1,128"), ("16k_op15", "576;1,128;1")):
        path = folder / f"{name}.onnx"
        path.write_bytes(fetched(SILERO[f"silero_vad_{name}.onnx"]))
        yield f"ONNX, {name}", [str(path), "--input-shape", sizes]


MODELS: dict[str, Callable[[Path], Commands]] = {
    "MobileNetV2": _mobilenet,
    "PP-OCRv4 detection": _ocr,
    "Silero VAD, checkpoint": _silero,
    "Silero VAD, graphs": _silero_graphs,
}


def read_all(name: str) -> Iterator[Read]:
    """A model from all of its formats.

    Raises:
        Unavailable: If its weights cannot be had.
    """
    first: Read | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        try:
            for source, words in MODELS[name](path):
                found = _read(name, source, words, path / "report.json")
                first = first or found
                yield compared(found, first)
        except cs.UnreadableModel as error:
            raise Unavailable(str(error)) from error


def _read(name: str, source: str, words: list[str], out: Path) -> Read:
    begun = time.perf_counter()
    status = main(["analyze", *words, "--json", str(out), "--quiet"])
    seconds = time.perf_counter() - begun
    if status:
        return Read(name, source, (), seconds, float("inf"))
    layers = json.loads(out.read_text())["layers"]
    known = [row for row in layers if row["norm_upper"] is not None]
    rows = [(_kernel(row), float(row["norm_upper"])) for row in known]
    if len(known) < len(layers):
        return Read(name, source, tuple(rows), seconds, float("inf"))
    return Read(name, source, tuple(sorted(rows)), seconds)


def _kernel(row: dict[str, Any]) -> str:
    """What is the same whatever it is read from: kernel, stride and both sizes."""
    geometry = row["geometry"].partition(" (")[0]
    return f"{geometry} {row['input_shape']} {row['output_shape']}"


def compared(found: Read, first: Read) -> Read:
    """The first of two with its distance to the second."""
    if not found.is_right:  # rows are missing
        return found
    same = [kernel for kernel, _ in found.norms] == [kernel for kernel, _ in first.norms]
    gap = float("inf")
    if same and found.norms:
        pairs = zip(found.norms, first.norms, strict=True)
        gap = max(abs(a - b) / b for (_, a), (_, b) in pairs)
    return Read(found.model, found.source, found.norms, found.seconds, gap)


def _write_onnx(model: nn.Module, image: torch.Tensor, path: Path) -> None:
    """By torch, batch norm left as it is."""
    keep = torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (image,),
            str(path),
            dynamo=False,
            training=keep,
            do_constant_folding=False,
        )


def _geometry(model: nn.Module, shape: tuple[int, ...]) -> str:
    """What a checkpoint does not tell, in TOML."""
    entries = []
    report = cs.analyze(model, shape, effort="quick")
    sizes = {
        row.name: row.operator.geometry.input_shape[1:]
        for row in report
        if row.operator is not None
    }
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            assert isinstance(layer.padding, tuple)
            entries.append(
                f'[[layer]]\nnames = "{name}"\nstride = {list(layer.stride)}\n'
                f"padding = {list(layer.padding)}\ngroups = {layer.groups}\n"
                f"size = {list(sizes[name])}\n"
            )
    return "\n".join(entries)


def sources_text(found: list[Read]) -> str:
    """A line for each format."""
    lines = [f"{'model':22} {'source':24} {'rows':>4} {'gap':>8} {'time':>7}"]
    for each in found:
        rows = len(each.norms)
        lines.append(
            f"{each.model:22} {each.source:24} {rows:4} {each.gap:8.1e} "
            f"{each.seconds:5.1f} s{'' if each.is_right else '  WRONG'}"
        )
    return "\n".join(lines)
