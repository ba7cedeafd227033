r"""Tables for papers: LaTeX with booktabs' rules, numbers rounded to the safe side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context

__all__ = [
    "NONE",
    "enclosure",
    "escaped",
    "number",
    "rounded_down",
    "rounded_up",
    "tabular",
]

NONE = "---"  # a dash, where nothing is known
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
# integers up to this are printed as they are
MOST = 10**7


def escaped(text: str) -> str:
    r"""Text that LaTeX prints as it is; line breaks and control characters are spaces.

    >>> escaped("features.0_1 & 50%")
    'features.0\\_1 \\& 50\\%'
    """
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(SPECIAL.get(letter, letter) for letter in plain)


def number(value: float, digits: int = 4) -> str:
    r"""A number in math mode, rounded to the nearest of so many digits.

    >>> number(12345678.0), number(12), number(float("inf"))
    ('$1.235 \\times 10^{7}$', '$12$', '$\\infty$')
    """
    return f"${_rounded(value, ROUND_HALF_EVEN, digits)}$"


def rounded_up(value: float, digits: int = 4) -> str:
    """An upper bound in math mode; what is printed is one too."""
    return f"${_rounded(value, ROUND_CEILING, digits)}$"


def rounded_down(value: float, digits: int = 4) -> str:
    """A lower bound in math mode; what is printed is one too."""
    return f"${_rounded(value, ROUND_FLOOR, digits)}$"


def enclosure(lower: float, upper: float, digits: int = 4) -> str:
    r"""``[a, b]``, rounded outward; one-sided where the other end is 0 or infinite.

    >>> enclosure(1.23456, 1.23467), enclosure(2.0, float("inf"))
    ('$[1.234, 1.235]$', '$\\ge 2$')
    """
    low = _rounded(lower, ROUND_FLOOR, digits)
    high = _rounded(upper, ROUND_CEILING, digits)
    if lower == 0 and upper == math.inf:
        return NONE
    if lower == upper:
        return number(lower, digits)
    if upper == math.inf:
        return rf"$\ge {low}$"
    if lower == 0:
        return rf"$\le {high}$"
    return f"$[{low}, {high}]$"


def tabular(columns: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A ``tabular`` with booktabs' rules; cells are LaTeX already.

    >>> print(tabular("lr", ["a", "b"], [["c", "$1$"]]))
    \begin{tabular}{lr}
      \toprule
      a & b \\
      \midrule
      c & $1$ \\
      \bottomrule
    \end{tabular}
    """
    head, *lines = [" & ".join(cells) + r" \\" for cells in (header, *rows)]
    body = [r"\toprule", head, r"\midrule", *lines, r"\bottomrule"]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            *(f"  {line}" for line in body),
            r"\end{tabular}",
        ]
    )


def _rounded(value: float, rounding: str, digits: int) -> str:
    """Integers as they are, else so many digits; very large or small, a power of ten."""
    if isinstance(value, int) and abs(value) < MOST:
        return str(value)
    if math.isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    exact = Context(prec=digits, rounding=rounding).create_decimal(value)
    short = f"{float(exact):.{digits}g}"
    if "e" not in short:
        return short
    if 1 <= abs(exact) < MOST:
        return f"{exact.normalize():f}"
    mantissa, exponent = short.split("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}"
