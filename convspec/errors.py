"""The errors convspec raises: each says what must hold, what was given, what to do."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ConvSpecError",
    "GeometryError",
    "Interrupted",
    "LostWorker",
    "NotApplicable",
    "NotConverged",
    "NotFiniteError",
    "TooLargeError",
    "UnreadableModel",
    "UnsupportedLayer",
]


class ConvSpecError(Exception):
    """Base of every error that convspec raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class GeometryError(ConvSpecError, ValueError):
    """Sizes, strides, paddings or shapes that no convolution can have."""


class NotApplicable(ConvSpecError):
    """A method or bound whose assumptions the operator breaks.

    Attributes:
        name: The method or bound that was asked for.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.name)


class TooLargeError(ConvSpecError, MemoryError):
    """A result that would not fit the byte limit; raised before any allocation."""


class NotFiniteError(ConvSpecError, ValueError):
    """NaN or infinity among the weights."""


class UnsupportedLayer(ConvSpecError, TypeError):
    """A layer that is not one of torch's linear convolutions, or not yet one."""


class UnreadableModel(ConvSpecError):
    """A model, checkpoint or archive that cannot be opened or run."""


class LostWorker(ConvSpecError):
    """A step whose worker ended before it did, or could not be reached."""


class NotConverged(ConvSpecError):
    """An iteration that stopped early.

    Attributes:
        best: The best result so far.
    """

    def __init__(self, message: str, best: object = None) -> None:
        super().__init__(message)
        self.best = best

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.best)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an analysis; what was found by then is not lost.

    It is a ``KeyboardInterrupt``, so that what catches exceptions lets it pass.

    Attributes:
        report: The :class:`ModelReport`, of which ``partial`` is true: rows that are
            complete, and of the others what is known and what is not.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.report)
