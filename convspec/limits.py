"""The byte limit that stands before every large allocation."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import cast

import numpy as np

from convspec.arguments import shown
from convspec.errors import TooLargeError

__all__ = [
    "DEFAULT_MAX_BYTES",
    "Bytes",
    "byte_limit",
    "readable_bytes",
    "require_bytes",
]

DEFAULT_MAX_BYTES = 2**31

Bytes = float | str  # a number of bytes, or one with a unit
POWERS = "KMGTP"
WITH_UNIT = re.compile(
    rf"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(?:([{POWERS}])(i?))?B?\s*", re.IGNORECASE
)


def require_bytes(
    what: str, needed: float, max_bytes: float, instead: str, adjustable: bool = True
) -> None:
    """Raise TooLargeError if ``what`` needs more than ``max_bytes``.

    Args:
        what: What is to be held, with its number.
        needed: The bytes of it.
        max_bytes: The limit.
        instead: What to do.
        adjustable: Whether the caller has an argument ``max_bytes``.
    """
    if needed > max_bytes and not adjustable:
        raise TooLargeError(
            f"{what} must fit {readable_bytes(max_bytes)}; it needs "
            f"{readable_bytes(needed)}; {instead}"
        )
    if needed > max_bytes:
        raise TooLargeError(
            f"{what} must fit max_bytes = {readable_bytes(max_bytes)}; it needs "
            f"{readable_bytes(needed)}; {instead}, or raise max_bytes"
        )


def byte_limit(max_bytes: Bytes) -> int:
    """A number of bytes; of words such as ``"1.5 GB"`` and ``"2GiB"``, what they say.

    Raises:
        TypeError: If it is neither a real number nor such words.

    >>> byte_limit("1.5 GB"), byte_limit("2GiB"), byte_limit(100)
    (1500000000, 2147483648, 100)
    """
    if isinstance(max_bytes, str):
        found = WITH_UNIT.fullmatch(max_bytes)
        if found is not None:
            number, unit, binary = found.groups()
            power = POWERS.index(unit.upper()) + 1 if unit else 0
            with suppress(ValueError, OverflowError):
                return int(float(number) * (1024 if binary else 1000) ** power)
    real = isinstance(max_bytes, int | float | np.integer | np.floating)
    if not real or isinstance(max_bytes, bool) or max_bytes != max_bytes:
        raise TypeError(
            "max_bytes must be a number of bytes, such as 2**31 or '2 GiB'; got "
            f"{shown(max_bytes)}"
        )
    return cast(int, max_bytes)


def readable_bytes(count: float, digits: int = 4) -> str:
    """A byte count with a unit, any number, ``2 GiB``.

    >>> readable_bytes(2**31), readable_bytes(1e2), readable_bytes(2**5000)
    ('2 GiB', '100 bytes', 'over 1e+300 bytes')
    """
    try:
        size = float(count)
    except OverflowError:
        size = math.inf
    if size > 1e300:  # than any machine holds
        return "over 1e+300 bytes"
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = 0
    while size >= 1024 and power < len(units) - 1:
        size, power = size / 1024, power + 1
    if size >= 10**digits:
        return f"{float(f'{size:.{digits}g}'):,.0f} {units[power]}"
    return f"{size:.{digits}g} {units[power]}"
