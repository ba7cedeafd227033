"""Public calls shut out what the process has set: autocast, inference mode and the like.

A proof holds for the arithmetic that it was written for. Under autocast products are
rounded to 8 or 11 bits, under inference mode tensors may not be written to by other
threads, a default device takes new tensors elsewhere, and NumPy may raise at an
underflow that a proof has accounted for. Every public function, method and property is
decorated by :func:`isolated`, which sets all of this aside, for this thread, until it
returns. It is the only place that does; what a call computes depends on its arguments.

Two settings belong to the whole process, where changing them would be felt by other
threads: no tensor is made without a dtype (a test reads the code for it), so that the
default dtype has no say; and where products of float32 are rounded to fewer bits
:func:`full_precision` takes float64.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, wraps
from inspect import isfunction
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import torch

__all__ = [
    "full_precision",
    "isolated",
    "isolated_class",
    "isolated_thread",
    "plain_arithmetic",
]

P = ParamSpec("P")
Result = TypeVar("Result")
Class = TypeVar("Class", bound=type)

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")
# as NumPy starts; underflow is part of every error bound
ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_THREAD = threading.local()


def isolated(function: Callable[P, Result]) -> Callable[P, Result]:
    """The function, unaffected by autocast, inference mode, default device, errstate.

    Under inference mode it computes without gradients. Inside another isolated call, and
    while torch compiles, it is the function itself.
    """

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> Result:
        if torch.compiler.is_compiling() or getattr(_THREAD, "inside", False):
            return function(*args, **kwargs)
        if _is_disturbed():
            with _own_state():
                return function(*args, **kwargs)
        _THREAD.inside = True
        try:
            return function(*args, **kwargs)
        finally:
            _THREAD.inside = False

    alone.__isolated__ = True  # type: ignore[attr-defined]
    return alone


def isolated_class(cls: Class) -> Class:
    """The class, with its public methods, properties and operators :func:`isolated`."""
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") or name in OPERATORS:
            setattr(cls, name, _isolated_member(cls, name, member))
    return cls


# of the special methods those that compute
OPERATORS = (
    "__init__",
    "__matmul__",
    "__add__",
    "__sub__",
    "__neg__",
    "__mul__",
    "__rmul__",
    "__truediv__",
    "__call__",
    "__repr__",
    "__str__",
    "__contains__",
    "__iter__",
    "__getitem__",
)


def _isolated_member(cls: type, name: str, member: Any) -> Any:
    if isinstance(member, classmethod | staticmethod):
        return type(member)(isolated(member.__func__))
    if isinstance(member, cached_property):
        cached = cached_property(isolated(member.func))
        cached.__set_name__(cls, name)
        return cached
    if isinstance(member, property):
        assert member.fget is not None
        return property(isolated(member.fget), member.fset, member.fdel, member.__doc__)
    return isolated(member) if isfunction(member) else member


@contextmanager
def isolated_thread(grad: bool) -> Iterator[None]:
    """A thread that helps an isolated call; its own settings are as torch starts.

    Args:
        grad: Whether that call records gradients.
    """
    before = getattr(_THREAD, "inside", False)
    _THREAD.inside = True
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        _THREAD.inside = before


def _is_disturbed() -> bool:
    """Whether anything is set that has to be set aside; a few microseconds."""
    return (
        any(map(torch.is_autocast_enabled, AUTOCAST_DEVICES))
        or torch.is_inference_mode_enabled()
        or torch.empty((), dtype=torch.float32).device.type != "cpu"
        or np.geterr() != ERRORS
    )


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Neither autocast nor inference mode; the rest of what is set is left alone.

    For code of others, which may count on its default device.
    """
    with ExitStack() as stack:
        for device in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        yield


@contextmanager
def _own_state() -> Iterator[None]:
    with ExitStack() as stack:
        if np.geterr() != ERRORS:
            stack.enter_context(np.errstate(**ERRORS))  # type: ignore[arg-type]
        stack.enter_context(plain_arithmetic())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        _THREAD.inside = True
        try:
            yield
        finally:
            _THREAD.inside = False


def full_precision(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype, or float64 where float32 products have fewer than 24 bits.

    That is so after ``torch.set_float32_matmul_precision("high")`` or one of the
    ``fp32_precision`` settings of ``torch.backends``.
    """
    if dtype != torch.float32:
        return dtype
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    matmul = getattr(backend, "matmul", None)
    if hasattr(matmul, "fp32_precision"):  # since torch 2.9
        full = cast(Any, matmul).fp32_precision in ("none", "ieee")
    else:
        full = torch.get_float32_matmul_precision() == "highest"
    return dtype if full else torch.float64
