"""Cross-references of docstrings, ``:func:`spectrum```, as links of the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")
# where a name that docstrings shorten is documented
PUBLIC = {
    "ConvOperator": "convspec.ConvOperator",
    "Density": "convspec.Density",
    "Envelope": "convspec.Envelope",
    "LayerReport": "convspec.LayerReport",
    "ModelReport": "convspec.ModelReport",
    "Spectrum": "convspec.Spectrum",
    "explain": "convspec.explain",
    "spectral_density": "convspec.spectral_density",
    "spectrum": "convspec.spectrum",
    "symbol_density": "convspec.symbol_density",
    "worst_case_norm": "convspec.worst_case_norm",
    "fantastic_four": "convspec.bounds.fantastic_four",
    "sampled_symbol": "convspec.bounds.sampled_symbol",
}


class Roles(griffe.Extension):
    """Replace each role by a link where its target has a page, else by code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(_reference, obj.docstring.value)


def _reference(role: re.Match[str]) -> str:
    name = role[1]
    shown = name.removeprefix("convspec.")
    first, *rest = shown.split(".")
    if first in PUBLIC:
        return f"[`{shown}`][{'.'.join([PUBLIC[first], *rest])}]"
    return f"`{shown}`"
