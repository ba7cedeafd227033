"""A sweep: the rows of all checkpoints, and the forms they are read in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from convspec.arguments import shown
from convspec.isolation import isolated_class
from convspec.quantity.enclosure import Enclosure
from convspec.report.provenance import Provenance
from convspec.sweeps.parquet import arrow_table, as_bytes, as_frame
from convspec.sweeps.rows import Row, known
from convspec.sweeps.summary import summary
from convspec.written import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Sweep"]


@isolated_class
@dataclass(frozen=True, eq=False)
class Sweep:
    """What the layers of a model do at many checkpoints: :func:`convspec.sweep`.

    Attributes:
        rows: One for each checkpoint and layer: ``"checkpoint"``, ``"step"``,
            ``"layer"``, and the fields of a report's row.
        checkpoints: Names of those that were analysed, in their order.
        steps: One each: the number in its name, or its place.
        failed: Why others were not, by name.
        provenance: What each checkpoint was analysed with.
    """

    rows: tuple[Row, ...]
    checkpoints: tuple[str, ...]
    steps: tuple[int, ...]
    failed: Mapping[str, str]
    provenance: Provenance

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, in the order in which they come first."""
        return tuple(self._by_layer)

    @property
    def numbered(self) -> bool:
        """Whether steps are numbers in the names of checkpoints, and not their places."""
        pairs = zip(self.steps, self.checkpoints, strict=True)
        return all(str(step) in name for step, name in pairs)

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Names of what :meth:`evolution` and :meth:`plot` show."""
        kinds = [key for row in self.rows for key in row if key.endswith("_kind")]
        return tuple(dict.fromkeys(key.removesuffix("_kind") for key in kinds))

    def __len__(self) -> int:
        return len(self.rows)

    def evolution(
        self, layer: str, quantity: str = "norm"
    ) -> list[float | Enclosure | None]:
        """A quantity of a layer at each checkpoint.

        Args:
            layer: Its name.
            quantity: One of ``quantities``.

        Returns:
            Numbers where they are exact, certified ends where they are not; None where
            nothing is known, or the checkpoint has no such layer.

        Raises:
            ValueError: If there is no such layer or quantity.
        """
        for what, name, names in (
            ("layer", layer, self.layers),
            ("quantity", quantity, self.quantities),
        ):
            if name not in names:
                raise ValueError(
                    f"{what} must be one of {', '.join(names)}; got {shown(name)}"
                )
        rows = self._by_layer[layer]
        return [known(rows.get(name, {}), quantity) for name in self.checkpoints]

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame, as :func:`convspec.read_sweep` gives it.

        Raises:
            MissingExtra: Without pyarrow and pandas, which ``convspec[sweep]`` installs.
        """
        return as_frame(arrow_table(self.rows, self._about))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as Parquet, for :func:`convspec.read_sweep`; all or nothing.

        Raises:
            MissingExtra: Without pyarrow.
            OSError: If the file cannot be written.
        """
        write_bytes(path, as_bytes(arrow_table(self.rows, self._about)))

    def to_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> None:
        """Write one page that needs nothing else: a table, and figures of each layer.

        Args:
            path: The file to write.
            title: Heading of the page; by default the class name of the model.

        Raises:
            MissingExtra: Without jinja2, which ``convspec[html]`` installs.
        """
        from convspec.sweeps.page import page

        write_text(path, page(self, title))

    def plot(
        self,
        quantity: str = "norm",
        *,
        ax: Axes | None = None,
        layers: str | Sequence[str] | None = None,
        legend: bool = True,
        **kwargs: Any,
    ) -> Axes:
        """How a quantity of each layer evolves, as :func:`convspec.plot.training`.

        Args:
            quantity: One of ``quantities``.
            ax: Axes to draw on.
            layers: Names of the layers, one or several; all of them unless told.
            legend: Whether to name the layers.
            **kwargs: For the lines, ``Axes.plot``.

        Raises:
            ValueError: If there is no such layer or quantity.
        """
        from convspec.sweeps.drawn import draw

        return draw(self, quantity, ax=ax, layers=layers, legend=legend, **kwargs)

    def __repr__(self) -> str:
        return summary(self.evolutions("norm"), self.checkpoints, self.failed)

    def evolutions(
        self, quantity: str = "norm"
    ) -> dict[str, list[float | Enclosure | None]]:
        """:meth:`evolution` of all layers."""
        return {layer: self.evolution(layer, quantity) for layer in self.layers}

    @cached_property
    def _by_layer(self) -> dict[str, dict[str, Row]]:
        """Rows by the names of layers, and of checkpoints."""
        found: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            found.setdefault(row["layer"], {})[row["checkpoint"]] = row
        return found

    @property
    def _about(self) -> dict[str, Any]:
        """What is in the metadata of a table."""
        return {
            "checkpoints": list(self.checkpoints),
            "steps": list(self.steps),
            "failed": dict(self.failed),
            "provenance": asdict(self.provenance),
        }
