"""The report of a model: its convolution layers, and the forms they are read in."""

from __future__ import annotations

import csv
import io
import json
import operator
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any, overload

from convspec.extras import import_extra
from convspec.isolation import isolated_class
from convspec.report.columns import fields
from convspec.report.fragment import layer_fragment
from convspec.report.latex import DEFAULT_COLUMNS, latex_table
from convspec.report.layer import LayerReport
from convspec.report.print import printable, several
from convspec.report.provenance import Provenance
from convspec.report.readings import ENCLOSURE, EXACT
from convspec.report.text import layer_table
from convspec.written import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LEGEND", "ModelReport"]

# sentences, and the rows that they are about
LEGEND: tuple[tuple[str, Callable[[LayerReport], bool]], ...] = (
    (
        "By fourier or dense, numbers are exact for the layer as it is, up to rounding; "
        "where that leaves sigma_min less than four digits, it and cond are bounds.",
        lambda row: row.known.kind == EXACT,
    ),
    (
        "a..b, >= a, <= b: certified bounds on that number, rounding included, by "
        "envelope (tori around the layer, and the enclosed sigma_1) or by norm (none).",
        lambda row: row.known.kind == ENCLOSURE,
    ),
    (
        "~a: an estimate from random frequencies, where certified bounds are wide; these "
        "and the standard error are in the files.",
        lambda row: bool(row.estimates),
    ),
    (
        "worst case: certified upper end of the supremum of sigma_1 over input sizes.",
        lambda row: row.worst_case is not None,
    ),
    (
        "reshaped: what torch.nn.utils.spectral_norm takes for sigma_1, the norm of the "
        "kernel as a matrix. No bound in general: too small or, for groups and "
        "transposed layers, on either side.",
        lambda row: row.reshaped is not None,
    ),
    (
        "circular: sigma_1 of the same kernel on the torus of this size, another "
        "operator: neither exact nor a bound.",
        lambda row: row.circular is not None,
    ),
    ("More columns are in to_csv, to_json and to_dataframe.", lambda row: True),
)
WIDTH = 88  # of the legend in plain text


@isolated_class
@dataclass(frozen=True, eq=False)
class ModelReport:
    """What a model's convolutions do: one :class:`LayerReport` per layer and input size.

    Attributes:
        layers: In order of the first call.
        input_shape: What the model was run on.
        unused: Convolutions that the model did not call.
        notes: Sentences on shared modules and weights, and layers not supported.
        provenance: What the analysis was run with; None if the report was put together
            by hand.
        partial: Whether it was interrupted before all rows were complete.
    """

    layers: tuple[LayerReport, ...]
    input_shape: Any
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Provenance | None = None
    partial: bool = False

    def __getitem__(self, name: str | int) -> LayerReport:
        """The layer of this name, or at this place, negative ones from the end."""
        if not isinstance(name, str):
            return self._at(operator.index(name))
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(
            f"no layer {name!r}; there are: {', '.join(x.name for x in self.layers)}"
        )

    def _at(self, place: int) -> LayerReport:
        if not -len(self) <= place < len(self):
            raise IndexError(f"no layer at {place}; there are {len(self)}, from 0")
        return self.layers[place]

    def __iter__(self) -> Iterator[LayerReport]:
        return iter(self.layers)

    def __contains__(self, name: object) -> bool:
        return any(layer.name == name for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def summary(self) -> str:
        """Counts of layers by method, and the time taken."""
        methods = Counter(layer.method for layer in self.layers)
        exact = [f"{methods[m]} by {m}" for m in ("fourier", "dense") if methods[m]]
        bounded = [f"{methods[m]} by {m}" for m in ("envelope", "norm") if methods[m]]
        kernels = sum(row.operator is None and row.reshaped is not None for row in self)
        stand_ins = sum(layer.circular is not None for layer in self.layers)
        seconds = sum(layer.seconds for layer in self.layers)
        counts: tuple[tuple[str, int, list[str]], ...] = (
            ("with their exact spectrum", methods["fourier"] + methods["dense"], exact),
            ("with certified bounds", methods["envelope"] + methods["norm"], bounded),
            ("with the circular one beside", stand_ins, []),
            ("by the kernel alone", kernels, []),
            ("unknown", methods["none"] - kernels, []),
        )
        found = [
            f"{count} {words}" + f" ({', '.join(by)})" * bool(by)
            for words, count, by in counts
            if count
        ]
        on = "" if self.input_shape is None else f" on input {self.input_shape}"
        if not self.layers:
            return f"no convolutions found{on}"
        return "partial: " * self.partial + (
            f"{len(self)} convolution{'s' * (len(self) > 1)}{on}: {', '.join(found)}; "
            f"{seconds:.1f} s"
        )

    @property
    def legend(self) -> tuple[str, ...]:
        """The sentences of :data:`LEGEND` on what occurs in the table."""
        return tuple(sentence for sentence, of in LEGEND if any(map(of, self)))

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, what was left out of which rows and why, and what was not called."""
        rows: dict[str, list[str]] = {}
        for row in self:
            for words in row.left_out:
                rows.setdefault(words, []).append(row.name)
        less = [f"{several(names)}: {words}" for words, names in rows.items()]
        unused = [f"not called: {name}" for name in self.unused]
        return tuple(map(printable, (*self.notes, *less, *unused)))

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return layer_fragment(self.layers, (self.summary(), *self.remarks, *self.legend))

    def __repr__(self) -> str:
        table = [layer_table(self.layers)] if self.layers else []
        legend = [fill(sentence, WIDTH) for sentence in self.legend]
        words = [self.summary(), *self.remarks]
        parts = (table, words, legend)
        return "\n\n".join("\n".join(part) for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the singular values themselves, of which quantiles are kept.

        Where the report comes from is under ``"provenance"``: class of the model, the
        call with all its settings, versions and date, or None.
        """
        return {
            "input_shape": self.input_shape,
            "partial": self.partial,
            "layers": [layer.to_dict() for layer in self.layers],
            "unused": list(self.unused),
            "notes": list(self.notes),
            "provenance": None if self.provenance is None else asdict(self.provenance),
        }

    @overload
    def to_json(self, path: None = None) -> str: ...
    @overload
    def to_json(self, path: str | os.PathLike[str]) -> None: ...
    def to_json(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Write :meth:`to_dict` as JSON; infinities become the string "inf".

        Args:
            path: The file; None for the text itself.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        if path is None:
            return text
        write_text(path, text)
        return None

    @overload
    def to_csv(self, path: None = None) -> str: ...
    @overload
    def to_csv(self, path: str | os.PathLike[str]) -> None: ...
    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Write one line per layer, quantiles left out; unknown cells are empty.

        Args:
            path: The file; None for the text itself.
        """
        rows = self._flat_rows()
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]) if rows else ["name"])
        writer.writeheader()
        writer.writerows(rows)
        text = stream.getvalue()
        if path is None:
            return text
        write_text(path, text)
        return None

    def to_dataframe(self) -> Any:
        """The rows of :meth:`to_csv` as a pandas DataFrame.

        Raises:
            MissingExtra: Without pandas, which ``convspec[dataframe]`` installs.
        """
        pandas = import_extra("pandas", "dataframe")
        return pandas.DataFrame(self._flat_rows())

    def to_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> None:
        """Write one page that needs nothing else: the table, and a section per layer.

        The table sorts and filters; each layer's section has its figures and every
        number with its meaning and guarantee. Fonts, scripts and figures are inside, and
        no other file or network is read.

        Args:
            path: The file to write.
            title: Heading of the page; by default the class name of the model.

        Raises:
            MissingExtra: Without jinja2, which ``convspec[html]`` installs.
        """
        from convspec.pages.html import page

        write_text(path, page(self, title))

    def to_latex(
        self,
        *,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        layers: Sequence[str] | None = None,
        digits: int = 4,
    ) -> str:
        """A LaTeX ``tabular`` with the rules of ``booktabs``, one line per layer.

        Exact numbers are rounded to the nearest, enclosures ``[a, b]`` outward and worst
        cases up, so that bounds in print are bounds still. Names of layers in other than
        Latin letters take XeLaTeX or LuaLaTeX.

        Args:
            columns: Of ``"layer"``, ``"kernel"``, ``"input"``, ``"output"``,
                ``"worst_case"``, ``"reshaped"``, ``"circular"``, ``"method"`` and the
                names of the quantities, ``"norm"``, ``"smallest"``, ``"rank"``,
                ``"condition_number"``, ``"stable_rank"``, ...
            layers: Names of the layers to show, in this order; all by default.
            digits: Significant digits.

        Raises:
            ValueError: Without a digit or a column, or for a column that there is not.
            KeyError: For a layer that there is not.
        """
        rows = self.layers if layers is None else [self[name] for name in layers]
        mark = "% partial: interrupted before all rows were complete\n" * self.partial
        return mark + latex_table(rows, columns, digits)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The layers' singular values at a glance, :func:`convspec.plot.layers`."""
        from convspec.plot import layers

        return layers(self, ax=ax)

    def _flat_rows(self) -> list[dict[str, Any]]:
        return [
            {
                key: "x".join(map(str, value)) if isinstance(value, list) else value
                for key, value in fields(layer).items()
                if "quantiles" not in key
            }
            for layer in self.layers
        ]
