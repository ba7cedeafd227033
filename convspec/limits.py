"""The byte limit that stands before every large allocation."""

from __future__ import annotations

from convspec.errors import TooLargeError

__all__ = ["DEFAULT_MAX_BYTES", "readable_bytes", "require_bytes"]

DEFAULT_MAX_BYTES = 2**31


def require_bytes(what: str, needed: int, max_bytes: int, instead: str) -> None:
    """Raise TooLargeError if ``what`` needs more than ``max_bytes``."""
    if needed > max_bytes:
        raise TooLargeError(
            f"{what} must fit max_bytes = {readable_bytes(max_bytes)}; it needs "
            f"{readable_bytes(needed)}; {instead}, or raise max_bytes"
        )


def readable_bytes(count: int) -> str:
    """A byte count with a unit, ``2 GiB``."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.4g} {units[power]}"
