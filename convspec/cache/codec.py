"""Results as arrays and one JSON text, and back, to the last bit.

A value is written by its kind: JSON's own as they are, all others as a list whose first
entry names the kind. Objects are dataclasses of a list that is given, by name, with all
of their fields: nothing that a text says is imported or called but these.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Arrays", "Codec", "Refused"]

Arrays = dict[str, npt.NDArray[Any]]
# kinds of NumPy's dtypes that hold numbers: truth values, integers, floats, complex
NUMBERS = "biufc"
# of dtypes that NumPy does not have, one as wide that it has
STAND_INS = {torch.bfloat16: torch.int16}
DTYPES = {
    str(dtype): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
    )
}


class Refused(Exception):
    """A value that has no form, or a form that is none of a value."""


class Codec:
    """Values of some classes, as arrays and a text.

    Args:
        classes: Dataclasses that may occur; their names must differ.

    >>> text, arrays = Codec().encoded((1.5, None, "a", np.zeros(2)))
    >>> text
    '["tuple",["float","0x1.8000000000000p+0"],null,"a",["array","0",true]]'
    >>> Codec().decoded(text, arrays)
    (1.5, None, 'a', array([0., 0.]))
    """

    def __init__(self, classes: Iterable[type] = ()) -> None:
        self.classes = {cls.__name__: cls for cls in classes}

    def encoded(self, value: object) -> tuple[str, Arrays]:
        """The text of a value, and the arrays that it names.

        Raises:
            Refused: If something in it is of a kind or a class that has no form.
        """
        arrays: Arrays = {}
        form = self._form(value, arrays)
        return json.dumps(form, separators=(",", ":"), sort_keys=True), arrays

    def decoded(self, text: str, arrays: Arrays) -> Any:
        """The value of a text.

        Raises:
            Refused: If it is no text that :meth:`encoded` writes, or names classes or
                fields that there are not.
        """
        try:
            return self._value(json.loads(text), arrays)
        except Refused:
            raise
        except Exception as error:  # whatever a text of others makes of a constructor
            raise Refused(f"{type(error).__name__}: {error}") from error

    def _form(self, value: Any, arrays: Arrays) -> Any:
        """What JSON holds of a value; arrays are put aside."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return ["float", value.hex()]
        if kind in (tuple, list):
            return [kind.__name__, *(self._form(each, arrays) for each in value)]
        if kind is dict:
            return ["dict", *([k, self._form(v, arrays)] for k, v in value.items())]
        if isinstance(value, np.ndarray | np.generic):
            return _of_array(value, arrays)
        if isinstance(value, Tensor):
            return _of_tensor(value, arrays)
        if self.classes.get(kind.__name__) is not kind:
            raise Refused(f"no form of {kind.__name__}")
        fields = {
            each.name: self._form(getattr(value, each.name), arrays)
            for each in dataclasses.fields(value)
        }
        return ["object", kind.__name__, fields]

    def _value(self, form: Any, arrays: Arrays) -> Any:
        """The value of what JSON holds."""
        if form is None or isinstance(form, bool | int | str):
            return form
        if not (isinstance(form, list) and form and isinstance(form[0], str)):
            raise Refused("neither a plain value nor one of a kind")
        kind, *rest = form
        if kind in ("tuple", "list"):
            values = [self._value(each, arrays) for each in rest]
            return tuple(values) if kind == "tuple" else values
        if kind == "dict":
            return {str(name): self._value(each, arrays) for name, each in rest}
        if kind == "object":
            name, fields = rest
            return self._object(name, fields, arrays)
        read: Callable[..., Any] | None = READERS.get(kind)
        if read is None:
            raise Refused(f"no kind {kind}")
        return read(*rest, arrays)

    def _object(self, name: str, fields: dict[str, Any], arrays: Arrays) -> Any:
        cls = self.classes.get(name)
        if cls is None:
            raise Refused(f"no class {name}")
        if {each.name for each in dataclasses.fields(cls)} != set(fields):
            raise Refused(f"other fields than {name} has")
        return cls(**{key: self._value(form, arrays) for key, form in fields.items()})


def _put(array: npt.NDArray[Any], arrays: Arrays) -> str:
    """The name under which an array is put aside."""
    if array.dtype.kind not in NUMBERS:
        raise Refused(f"no form of arrays of {array.dtype}")
    name = str(len(arrays))
    arrays[name] = array
    return name


def _of_array(value: Any, arrays: Arrays) -> list[Any]:
    if isinstance(value, np.generic):
        return ["number", _put(np.asarray(value), arrays)]
    return ["array", _put(value, arrays), bool(value.flags.writeable)]


def _of_tensor(value: Tensor, arrays: Arrays) -> list[Any]:
    if str(value.dtype) not in DTYPES:
        raise Refused(f"no form of tensors of {value.dtype}")
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if value.dtype in STAND_INS:
        plain = plain.contiguous().view(STAND_INS[value.dtype])
    return ["tensor", _put(plain.numpy(), arrays), str(value.dtype)]


def _float(text: str, arrays: Arrays) -> float:
    return float.fromhex(text)


def _number(name: str, arrays: Arrays) -> Any:
    return arrays[name][()]


def _array(name: str, writeable: bool, arrays: Arrays) -> npt.NDArray[Any]:
    found = arrays[name]
    found.setflags(write=writeable)
    return found


def _tensor(name: str, dtype: str, arrays: Arrays) -> Tensor:
    found = torch.from_numpy(np.array(arrays[name], order="C"))
    return found.view(DTYPES[dtype]) if DTYPES[dtype] in STAND_INS else found


READERS: dict[str, Callable[..., Any]] = {
    "float": _float,
    "number": _number,
    "array": _array,
    "tensor": _tensor,
}
