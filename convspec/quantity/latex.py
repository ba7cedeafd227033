r"""Tables for papers: LaTeX with booktabs' rules, numbers rounded to the safe side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from convspec.quantity import decimals

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
    return f"${_symbols(value, decimals.nearest, digits)}$"


def rounded_up(value: float, digits: int = 4) -> str:
    """An upper bound in math mode; what is printed is one too."""
    return f"${_symbols(value, decimals.rounded_up, digits)}$"


def rounded_down(value: float, digits: int = 4) -> str:
    """A lower bound in math mode; what is printed is one too."""
    return f"${_symbols(value, decimals.rounded_down, digits)}$"


def enclosure(lower: float, upper: float, digits: int = 4) -> str:
    r"""``[a, b]``, rounded outward; one-sided where the other end is 0 or infinite.

    >>> enclosure(1.23456, 1.23467), enclosure(2.0, float("inf"))
    ('$[1.234, 1.235]$', '$\\ge 2.000$')
    """
    low = _symbols(lower, decimals.rounded_down, digits)
    high = _symbols(upper, decimals.rounded_up, digits)
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


def _symbols(value: float, rounded: Callable[..., str], digits: int) -> str:
    """Small integers as they are, else so many digits; exponents as powers of ten."""
    if isinstance(value, int) and abs(value) >= MOST:
        value = float(value)
    words = rounded(value, digits, zeros=True).replace("inf", r"\infty")
    mantissa, *power = words.split("e")
    return rf"{mantissa} \times 10^{{{int(power[0])}}}" if power else mantissa
