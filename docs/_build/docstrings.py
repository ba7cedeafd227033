"""Docstrings as the site shows them: cross-references as links, doctests as examples."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")
# a doctest that stands in no section: unindented, up to a blank line
DOCTEST = re.compile(r"^>>>.*(?:\n.+)*", re.MULTILINE)
# where names that docstrings shorten are documented
PUBLIC = {
    "analyze": "convspec.report.analyze.analyze",
    "spectrum": "convspec.spectrum.spectrum.spectrum",
    "fantastic_four": "convspec.bounds.fantastic_four",
    "sampled_symbol": "convspec.bounds.sampled_symbol",
    "spectral_norm": "convspec.bounds.spectral_norm.norm.spectral_norm",
    "bounds.table": "convspec.bounds.table.table",
    "plot.layers": "convspec.plot.layers.layers",
} | {
    name: f"convspec.{name}"
    for name in (
        "ConvOperator",
        "Density",
        "Envelope",
        "LayerReport",
        "ModelReport",
        "Spectrum",
        "explain",
        "lipschitz",
        "spectral_density",
        "spectral_envelope",
        "symbol_density",
        "verify",
        "worst_case_norm",
    )
}


class Docstrings(griffe.Extension):
    """Rewrite every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one."""
        if obj.docstring is not None:
            text = ROLE.sub(_link, obj.docstring.value)
            text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
            obj.docstring.value = DOCTEST.sub(_section, text)


def _link(role: re.Match[str]) -> str:
    shown = role[1].removeprefix("convspec.")
    if shown in PUBLIC:
        return f"[`{shown}`][{PUBLIC[shown]}]"
    first, *rest = shown.split(".")
    if first in PUBLIC:
        return f"[`{shown}`][{'.'.join([PUBLIC[first], *rest])}]"
    return f"`{shown}`"


def _section(doctest: re.Match[str]) -> str:
    lines = doctest[0].splitlines()
    return "\n".join(["Examples:", *(f"    {line}" for line in lines)])
