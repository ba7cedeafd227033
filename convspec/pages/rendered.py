"""Templates, filled in: pages that hold their style and script and ask for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from convspec.arguments import shown
from convspec.extras import import_extra
from convspec.report.print import printable

__all__ = ["heading", "rendered"]

TEMPLATES = "templates"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def heading(title: str | None, usual: str, what: str) -> str:
    """The heading of a page, its own or the usual one; asked before figures are drawn.

    Args:
        title: What was given.
        usual: The heading if that is None.
        what: What that is, in words.

    Raises:
        MissingExtra: Without jinja2.
        TypeError: If the title is no string.
    """
    import_extra("jinja2", "html")  # a page that cannot be made is not drawn either
    if not isinstance(title, str | None):
        raise TypeError(f"title must be a string, or None for {what}; got {shown(title)}")
    return usual if title is None else title


def rendered(
    template: str, *, styles: Sequence[str], script: str | None = None, **content: Any
) -> str:
    """The page, whatever it shows escaped, under a policy of this style and script alone.

    Args:
        template: Name of a file of ``templates``.
        styles: Files that make its style, in this order.
        script: The file of its script; None for none.
        content: What the template shows.

    Raises:
        MissingExtra: Without jinja2.
    """
    jinja2 = import_extra("jinja2", "html")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    environment.filters["math"] = _math
    # inert in the page but for these two, whatever a name contains
    inside = {"style": "\n".join(map(_template, styles))}
    if script is not None:
        inside["script"] = _template(script)
    content.setdefault("script_hash", "")
    for name, code in inside.items():
        content[name] = jinja2.utils.markupsafe.Markup(code)
        content[f"{name}_hash"] = _digest(code)
    text: str = environment.get_template(template).render(content)
    return text


def _template(name: str) -> str:
    folder = resources.files("convspec.pages") / TEMPLATES
    return (folder / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The hash by which a Content-Security-Policy knows an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _math(text: str) -> str:
    """With sigma_1 and its like in one letter and a subscript."""
    return text.replace("sigma_1", f"{SIGMA}\N{SUBSCRIPT ONE}").replace("sigma", SIGMA)
