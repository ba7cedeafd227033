"""The graph of an exported program as its file describes it, with nothing left to run.

torch writes Python out of the names in it, and runs that. So every text of the file is of
a known form here: a name, an operator that computes, a size, a structure of arguments.
"""

from __future__ import annotations

import json
import keyword
import re
from typing import Any

from convspec.files.exported_operators import computes
from convspec.files.reading import one_line
from convspec.files.size_expressions import is_size_expression

__all__ = ["plain_graph", "plain_payloads"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,999}", re.ASCII)
PATH = re.compile(r"[A-Za-z0-9_]{0,999}(\.[A-Za-z0-9_]{1,999}){0,99}", re.ASCII)
TEXT = re.compile(r"[A-Za-z0-9_ .,:;+*/<>=()\[\]?!-]{0,2000}", re.ASCII)
VERSION = re.compile(r"[A-Za-z0-9_.+<=-]{0,99}", re.ASCII)
NOT_FINITE = re.compile(r"-?Infinity|NaN", re.ASCII)
PAYLOAD = re.compile(r"(weight|tensor)_[0-9]{1,9}", re.ASCII)
# containers of arguments and results; torch builds an instance of the type
CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict")
CPU = {"type": "cpu", "index": None}
# said of where layers come from, for people; code that torch would run; pickled objects
DROPPED: dict[str, Any] = {
    "metadata": {},
    "guards_code": [],
    "treespec_namedtuple_fields": {},
}
# mappings whose keys are the program's own
BY_NAME = frozenset(
    {
        "opset_version",
        "sym_bool_values",
        "sym_float_values",
        "sym_int_values",
        "tensor_values",
    }
)
REFUSED = ("as_custom_obj", "custom_obj", "custom_obj_name")


def plain_graph(text: bytes) -> bytes:
    """A program in JSON, checked, on the CPU, and without what only describes it.

    Raises:
        ValueError: If some text in it is none that a program needs.
    """
    return _plain(text, "graph_module")


def plain_payloads(text: bytes) -> dict[str, dict[str, Any]]:
    """Where the tensors of a program lie, by name; none of them pickled.

    Raises:
        ValueError: If one is, or if some text is of another form.
    """
    found: dict[str, dict[str, Any]] = json.loads(_plain(text, "config"))["config"]
    return found


def _plain(text: bytes, key: str) -> bytes:
    held = json.loads(text)
    if not isinstance(held, dict) or not isinstance(held.get(key), dict):
        raise ValueError(f"its JSON has no {key}")
    if key == "config":
        entries = {_checked(PATH, k): _clean(v, "entry") for k, v in held[key].items()}
        return json.dumps({key: entries}).encode()
    return json.dumps(_clean(held, "")).encode()


def _clean(value: Any, key: str) -> Any:
    """A part of the program, checked; ``key`` is what the part around it calls it."""
    if key in DROPPED:
        return DROPPED[key]
    if key in ("in_spec", "out_spec"):
        return _structure(value)
    if isinstance(value, dict) and key == "range_constraints":
        return {_size(text): _clean(each, "") for text, each in value.items()}
    if isinstance(value, dict) and key in BY_NAME:
        return {_checked(NAME, name): _clean(each, "") for name, each in value.items()}
    if isinstance(value, dict):
        return _cleaned(value)
    if isinstance(value, list):
        return [_clean(each, key) for each in value]
    return _text(value, key) if isinstance(value, str) else value


def _cleaned(entries: dict[str, Any]) -> dict[str, Any]:
    if entries.keys() == CPU.keys() and isinstance(entries["type"], str):
        return dict(CPU)  # as map_location would
    if any(entries.get(key) for key in (*REFUSED, "custom_obj_values")):
        raise ValueError("it holds objects of classes, which are read by running code")
    if entries.get("use_pickle"):
        raise ValueError("it holds pickled tensors, which are read by running code")
    return {_checked(NAME, key): _clean(each, key) for key, each in entries.items()}


def _text(text: str, key: str) -> str:
    if key in ("target", "as_operator"):
        if not computes(text):
            raise ValueError(
                f"it calls {one_line(text, 100)}, which is not known to compute alone"
            )
        return text
    return _size(text) if key == "expr_str" else _checked(FORMS.get(key, NAME), text)


def _size(text: str) -> str:
    if not is_size_expression(text):
        raise ValueError(f"the size {one_line(text, 100)} is more than one")
    return text


FORMS = {
    "as_float": NOT_FINITE,
    "as_floats": NOT_FINITE,
    "as_string": TEXT,
    "as_strings": TEXT,
    "buffer_name": PATH,
    "fqn": PATH,
    "name": re.compile(rf"({NAME.pattern})?", re.ASCII),
    "parameter_name": PATH,
    "path_name": PAYLOAD,
    "tensor_constant_name": PATH,
    "torch_version": VERSION,
    "user_input_name": PATH,
}


def _checked(form: re.Pattern[str], text: str) -> str:
    known = form.fullmatch(text)
    if not known or (form is NAME and keyword.iskeyword(text)):
        raise ValueError(f"the text {one_line(repr(text), 100)} is no name")
    return text


def _structure(text: object) -> str:
    """How arguments or results are put together, as torch's pytrees write it."""
    version, held = json.loads(str(text))
    if version != 1:
        raise ValueError(f"its arguments are put together by {one_line(version, 20)}")
    return json.dumps([1, _node(held)])


def _node(held: Any) -> dict[str, Any]:
    kind, context, children = (held[key] for key in ("type", "context", "children_spec"))
    inner = [_node(child) for child in children]
    if kind is not None and kind not in CONTAINERS:
        raise ValueError(f"its arguments or results are {one_line(kind, 100)}")
    if kind == "builtins.dict":
        keys: list[Any] = json.loads(context)
        if not all(isinstance(key, str) for key in keys) or len(keys) != len(inner):
            raise ValueError("its arguments have keys that are no names")
        context = json.dumps([_checked(TEXT, key) for key in keys])
    elif context not in (None, "null"):
        raise ValueError("its arguments are of other containers than torch's own")
    return {"type": kind, "context": context, "children_spec": inner}
