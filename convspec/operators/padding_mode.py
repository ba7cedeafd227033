"""Padding modes: their names, one for each axis, and how much each may pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convspec.arguments import shown
from convspec.errors import GeometryError

__all__ = [
    "PADDING_MODES",
    "PaddingMode",
    "mode_words",
    "modes_per_axis",
    "most_padding",
    "require_room",
]

# one for all axes, or one for each
PaddingMode = str | Sequence[str]

# our name, which is torch's if it has one -> NumPy's for the same extension of a line
PADDING_MODES: dict[str, Any] = {
    "zeros": "constant",
    "circular": "wrap",
    "reflect": "reflect",
    "replicate": "edge",
    "symmetric": "symmetric",
}
# of NumPy, SciPy and others; what scipy.ndimage calls "reflect" is symmetric
ELSEWHERE = {
    "constant": "zeros",
    "zero": "zeros",
    "wrap": "circular",
    "grid-wrap": "circular",
    "periodic": "circular",
    "mirror": "reflect",
    "edge": "replicate",
    "nearest": "replicate",
    "border": "replicate",
    "neumann": "symmetric",
    "half-sample": "symmetric",
}


def modes_per_axis(given: PaddingMode, dim: int) -> tuple[str, ...]:
    """The padding mode of each axis.

    Args:
        given: One for all, or one for each.
        dim: How many axes there are.

    Raises:
        GeometryError: If one is none of :data:`PADDING_MODES`, or there are not as many.
    """
    modes = tuple(given) if isinstance(given, list | tuple) else (given,) * dim
    for mode in modes:
        if not isinstance(mode, str) or mode not in PADDING_MODES:
            ours = ELSEWHERE.get(mode.lower()) if isinstance(mode, str) else None
            raise GeometryError(
                f"padding_mode must be one of {', '.join(PADDING_MODES)}, or a sequence "
                f"of one for each axis; got {shown(given)}"
                + (f"; {mode!r} is called {ours!r} here" if ours else "")
            )
    if len(modes) != dim:
        raise GeometryError(
            f"padding_mode must be one name, or {dim} (one per spatial axis); "
            f"got {shown(given)}"
        )
    return tuple(map(str, modes))


def mode_words(modes: Sequence[str]) -> str:
    """The modes of all axes, once if they agree.

    >>> mode_words(["zeros", "zeros"]), mode_words(["zeros", "circular"])
    ('zeros', 'zeros/circular')
    """
    return modes[0] if len(set(modes)) == 1 else "/".join(modes)


def most_padding(mode: str, size: int) -> int | None:
    """The most pixels that a mode pads at each end of a line of this size, if limited."""
    return {"circular": size, "reflect": size - 1, "symmetric": size}.get(mode)


def require_room(mode: str, j: int, size: int, pad: tuple[int, int]) -> None:
    """Refuse more padding on axis j than its mode has pixels for.

    Raises:
        GeometryError: If there is more.
    """
    most = most_padding(mode, size)
    if most is None or max(pad) <= most:
        return
    must = {
        "reflect": "be smaller than the input size",
        "circular": "not wrap more than once: at most the input size",
        "symmetric": "not mirror more than once: at most the input size",
    }[mode]
    instead = "pad less" if mode == "circular" else "pad less or use 'replicate'"
    raise GeometryError(
        f"{mode} padding must {must}; axis {j} has size {size} and padding {pad}; "
        f"{instead}"
    )
