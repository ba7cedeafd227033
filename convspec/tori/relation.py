"""The statement that one axis is a part of a torus, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "Relation", "Side"]

KINDS = ("compression", "larger", "perturbation", "rows", "unfolding")


@dataclass(frozen=True)
class Side:
    """Outputs or pixels of an axis, of its torus, and what the two have in common.

    Attributes:
        total: Dimension on the operator's side.
        kept: Dimension of the part on which operator and torus agree.
        hit: Dimension of the image of that part in the torus.
        torus: Dimension of the torus, pixels that no tap reads not counted.
        counts: For each hit coordinate of the torus (outputs) or each kept pixel: how
            many coordinates of the other side it stands for; as long as ``hit``.
    """

    total: int
    kept: int
    hit: int
    torus: int
    counts: tuple[int, ...]

    @classmethod
    def plain(cls, total: int, kept: int, torus: int) -> Side:
        """A side of which every kept coordinate stands for one of the torus."""
        return cls(total, kept, kept, torus, (1,) * kept)


@dataclass(frozen=True)
class Relation:
    """The statement that an axis is a part of a torus, up to repeated rows and pixels.

    Attributes:
        kind: One of :data:`KINDS`.
        stride: Stride s on the torus.
        frequencies: Outputs M of the torus; it has s M pixels.
        lags: The pixel that each live tap of output 0 reads.
        outputs: The kept outputs, indices among the live ones.
        rows: Outputs.
        columns: Pixels.
        untwisted: Whether it holds at phase 0.
        twisted: Whether it holds at every other phase.
    """

    kind: str
    stride: int
    frequencies: int
    lags: tuple[int, ...]
    outputs: tuple[int, ...]
    rows: Side
    columns: Side
    untwisted: bool
    twisted: bool
