"""Symbolic sizes of exported programs, which torch evaluates as Python."""

from __future__ import annotations

import ast
import re

__all__ = ["is_size_expression"]

SYMBOL = re.compile(r"[a-z]{1,4}[0-9]{1,9}", re.ASCII)
NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{0,30})?(e-?[0-9]{1,3})?", re.ASCII)
# what sizes are written in, and may not start a comment or a line
LETTERS = re.compile(r"[A-Za-z0-9_ (),.=<>+*/%&|~'-]{1,4000}", re.ASCII)
FUNCTIONS = frozenset(
    {
        "Add",
        "And",
        "CeilDiv",
        "CeilToInt",
        "CleanDiv",
        "Equality",
        "Float",
        "FloatTrueDiv",
        "FloorDiv",
        "FloorToInt",
        "GreaterThan",
        "Identity",
        "IntTrueDiv",
        "Integer",
        "LessThan",
        "Max",
        "Min",
        "Mod",
        "ModularIndexing",
        "Mul",
        "Ne",
        "Not",
        "Or",
        "Piecewise",
        "Pow",
        "PowByNatural",
        "PythonMod",
        "Rational",
        "RoundToInt",
        "StrictGreaterThan",
        "StrictLessThan",
        "Symbol",
        "ToFloat",
        "TruncToFloat",
        "TruncToInt",
        "Unequality",
        "Where",
    }
)
# names that are no symbols: of what a symbol is assumed to be, and of truth
FLAGS = frozenset({"positive", "integer", "nonnegative", "real", "negative", "precision"})
TRUTH = frozenset({"true", "false"})
LARGEST = 2**63
HIGHEST_POWER = 8


def is_size_expression(text: object) -> bool:
    """Whether a text is an expression of symbols, integers and known functions alone."""
    if not isinstance(text, str) or not LETTERS.fullmatch(text):
        return False
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    powers = sum(
        isinstance(node, ast.Pow) or getattr(node, "id", "").startswith("Pow")
        for node in ast.walk(tree)
    )
    return powers <= 2 and _is_plain(tree)


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        number = node.value
        return isinstance(number, int | float) and abs(number) <= LARGEST
    if isinstance(node, ast.Name):
        return bool(SYMBOL.fullmatch(node.id)) or node.id in TRUTH
    if isinstance(node, ast.UnaryOp):
        return _is_plain(node.operand)
    if isinstance(node, ast.BinOp):
        return _is_operation(node)
    if isinstance(node, ast.Compare):
        return all(map(_is_plain, (node.left, *node.comparators)))
    return isinstance(node, ast.Call) and _is_call(node)


def _is_operation(node: ast.BinOp) -> bool:
    if isinstance(node.op, ast.LShift | ast.RShift | ast.MatMult):
        return False
    if isinstance(node.op, ast.Pow) and not _is_power(node.right):
        return False
    return _is_plain(node.left) and _is_plain(node.right)


def _is_power(node: ast.expr) -> bool:
    """Whether an exponent is a small number."""
    if isinstance(node, ast.UnaryOp):
        return _is_power(node.operand)
    if isinstance(node, ast.Call) and len(node.args) == 1:
        return _is_power(node.args[0])
    number = node.value if isinstance(node, ast.Constant) else None
    return isinstance(number, int) and abs(number) <= HIGHEST_POWER


def _is_call(node: ast.Call) -> bool:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    flags = all(
        word.arg in FLAGS
        and isinstance(word.value, ast.Constant)
        and isinstance(word.value.value, int)
        and word.value.value <= 64
        for word in node.keywords
    )
    if name not in FUNCTIONS or not flags:
        return False
    if name in ("Symbol", "Float"):
        form = SYMBOL if name == "Symbol" else NUMBER
        text = node.args[0] if len(node.args) == 1 else None
        value = text.value if isinstance(text, ast.Constant) else None
        return isinstance(value, str) and bool(form.fullmatch(value))
    if name.startswith("Pow") and not (len(node.args) == 2 and _is_power(node.args[1])):
        return False
    return all(map(_is_plain, node.args))
