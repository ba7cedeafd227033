"""The byte limit that stands before every large allocation."""

from __future__ import annotations

from convspec.errors import TooLargeError

__all__ = ["DEFAULT_MAX_BYTES", "require_bytes"]

DEFAULT_MAX_BYTES = 2**31


def require_bytes(what: str, needed: int, max_bytes: int, instead: str) -> None:
    """Raise TooLargeError if ``what`` needs more than ``max_bytes``."""
    if needed > max_bytes:
        raise TooLargeError(
            f"{what} must fit max_bytes = {_readable(max_bytes)}; it needs "
            f"{_readable(needed)}; {instead}, or raise max_bytes"
        )


def _readable(count: int) -> str:
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.4g} {units[power]}"
