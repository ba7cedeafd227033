"""Notebooks as pages: their words, their code, and what it printed and drew."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert

__all__ = ["page_of"]

FENCE = "````"  # longer than any inside of a cell
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|(`[^`]*`)", re.DOTALL)


def page_of(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook in Markdown, and the images that it shows, by the names of files."""
    notebook = nbformat.read(path, as_version=4)
    images: dict[str, bytes] = {}
    parts = [
        f"*This page is the notebook `notebooks/{path.name}`, as it ran in the tests.*"
    ]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(FORMULA.sub(_formula, cell.source))
            continue
        if cell.cell_type == "code" and cell.source.strip():
            parts.append(_fenced(cell.source, "python"))
        for output in cell.get("outputs", ()):
            parts.append(_shown(output, path.stem, images))
    title, *rest = parts[1:]  # the title stays first
    return "\n\n".join([title, parts[0], *filter(None, rest)]) + "\n", images


def _formula(found: re.Match[str]) -> str:
    """A formula as browsers draw it; code stays as it is."""
    apart, inside, code = found.groups()
    if code:
        return str(code)
    if apart:
        return f"\n\n{convert(apart, display='block')}\n\n"
    return f"<span>{convert(inside)}</span>"  # a line that begins so is a sentence


def _shown(output: Any, stem: str, images: dict[str, bytes]) -> str:
    """An output in Markdown: an image, a table, or text."""
    if output.output_type == "stream":
        return _fenced(output.text, "text")
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{stem}_{len(images) + 1}.png"
        images[name] = base64.b64decode(data["image/png"])
        return f"![{data.get('text/plain', 'A figure')}]({name})"
    if "text/html" in data:
        return str(data["text/html"])
    return _fenced(data.get("text/plain", ""), "text")


def _fenced(text: str, language: str) -> str:
    return f"{FENCE}{language}\n{text.rstrip()}\n{FENCE}"
