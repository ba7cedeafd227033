"""Numbers that leave torch while a model runs, which no record of its operations shows.

NumPy arrays and lists are read from a tensor's memory. What a model computes of them and
gives back to torch looks like a constant, and must not be taken for one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Leaving"]

METHODS = ("numpy", "tolist", "__array__", "data_ptr", "__dlpack__")


class Leaving(TorchFunctionMode):
    """Notes tensors whose numbers leave torch.

    Attributes:
        seen: Them, with the method that was called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, str]] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in METHODS and args and isinstance(args[0], Tensor):
            self.seen.append((args[0], name))
        return func(*args, **(kwargs or {}))
