"""A report with every kind of row and hostile names, and a reader of its page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import torch
from torch import nn

import convspec as cs
from tests.other_layer import OtherConvolution

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script>"
QUOTED = "a \"double\" & 'single' `quoted` name"
FOREIGN = "größe_層_$x$_\\frac_{{ 7 * 7 }}"
CONTROL = "esc\x1b[31m\n\u202eleft \ud800"
NAMES = (IMAGE, SCRIPT, QUOTED, FOREIGN, CONTROL, "unknown")
# between the cost of the small SVDs and of the large one
MAX_FLOPS = 1e6

VOID = {"meta", "link", "input", "img", "br", "hr"}


def hostile_model() -> nn.Sequential:
    """Rows by envelope, dense, fourier and none, under names that are code elsewhere."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module(IMAGE, nn.Conv2d(1, 2, 3, padding=1))  # 15 x 15: too costly
    model.add_module("pool", nn.AvgPool2d(3))
    model.add_module(SCRIPT, nn.Conv2d(2, 2, 3, padding=1))
    model.add_module(QUOTED, nn.Conv2d(2, 2, 1))
    model.add_module(FOREIGN, nn.Conv2d(2, 3, 3, padding=1))
    model.add_module(CONTROL, nn.Conv2d(3, 2, 2))
    model.add_module("unknown", OtherConvolution(2, 2, 1))
    nn.init.constant_(model.get_submodule(QUOTED).weight, 1234.5)
    return model


def hostile_report() -> cs.ModelReport:
    return cs.analyze(hostile_model(), (1, 15, 15), max_flops=MAX_FLOPS)


@dataclass(eq=False)
class Element:
    """A tag with what is inside it."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    parts: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        pieces = [x if isinstance(x, str) else x.text for x in self.parts]
        return " ".join("".join(pieces).split())

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Elements below of this tag and with these attributes, in document order."""
        found = []
        for child in self.children:
            names = {k.replace("_", "-"): v for k, v in attributes.items()}
            fits = all(child.attributes.get(k) == v for k, v in names.items())
            if tag in (None, child.tag) and fits:
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found


class _Reader(HTMLParser):
    """Builds the tree; tags must be closed in the order they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        self.open[-1].parts.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].own.append(data)
        self.open[-1].parts.append(data)


def read_page(text: str) -> Element:
    """The tree of a page, strictly nested."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"not closed: {[x.tag for x in reader.open]}"
    return reader.open[0]
