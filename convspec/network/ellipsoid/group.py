"""Live tensors and the ellipsoid of their differences.

A group is a core q with the covariance S(w), leaves psi_l uncorrelated with it and each
other, of diagonal covariances, and tensors that are linear forms in both. For every pair
of inputs x, x' the differences of all of them satisfy, summed over frequencies,

    dq^H S^+ dq + sum_l |dpsi_l|^2 / v_l <= |x - x'|^2.

Replacing a covariance by more than it keeps that, which is how rounding is accounted for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convspec.network.ellipsoid.form import UNIT, Form, lengths, summed
from convspec.network.ellipsoid.lattice import Lattice, pieces
from convspec.network.ellipsoid.maps import Map
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Group", "raised", "whole"]

# exponents between which a scale is a number
MOST_EXPONENT = 1000


@dataclass(frozen=True)
class Group:
    """Tensors on one lattice.

    Attributes:
        lattice: Where they live.
        core: S without its scale, (F, c, c), Hermitian.
        leaves: v of each leaf without its scale, (F or 1, k), float64.
        forms: The tensors, by the place of their node.
        exponent: S is ``2^exponent`` times the core, and likewise v.
        proven: Whether rounding is accounted for.
    """

    lattice: Lattice
    core: Tensor
    leaves: Mapping[str, Tensor]
    forms: Mapping[int, Form]
    exponent: int = 0
    proven: bool = False

    @classmethod
    def of_leaf(
        cls, lattice: Lattice, diagonal: Tensor, place: int, exponent: int, proven: bool
    ) -> Group:
        """One tensor, uncorrelated between its channels and white over frequencies.

        Args:
            lattice: Where it lives.
            diagonal: Its covariance without the scale; (c,).
            place: Of its node.
            exponent: Of the scale.
            proven: Whether rounding is accounted for.
        """
        width, count = len(diagonal), len(lattice.index)
        dtype = lattice.dtype
        core = torch.zeros(count, 0, 0, dtype=dtype, device="cpu")
        name = f"leaf {place}"
        if proven:
            diagonal = diagonal.clamp(min=UNDERFLOW)
        form = Form(
            torch.zeros(1, width, 0, dtype=dtype, device="cpu"),
            {name: torch.ones(1, width, dtype=torch.float64, device="cpu")},
            torch.zeros(1, dtype=torch.float64, device="cpu") if proven else None,
        )
        return cls(lattice, core, {name: diagonal[None]}, {place: form}, exponent, proven)

    @property
    def most(self) -> Tensor:
        """At least the largest eigenvalue of the core and of each leaf; (F,)."""
        found: Tensor = lengths(self.core.detach()) * (1 + 1e-9)
        for each in self.leaves.values():
            found = torch.maximum(found, each.detach().amax(1))
        return found

    def scaled(self) -> Group:
        """The same with covariances of about 1, by a power of 2."""
        largest = 0.0
        if self.core.shape[1]:
            diagonal = self.core.detach().diagonal(dim1=1, dim2=2).real
            largest = float(diagonal.max())
        for each in self.leaves.values():
            largest = max(largest, float(each.detach().max()))
        exponent = math.frexp(largest)[1] if largest > 0 else 0
        exponent = max(exponent, -MOST_EXPONENT)
        factor = 2.0**-exponent
        return replace(
            self,
            core=self.core * factor,
            leaves={
                leaf: self._times(each, factor) for leaf, each in self.leaves.items()
            },
            exponent=self.exponent + exponent,
        )

    def _times(self, leaf: Tensor, factor: Tensor | float) -> Tensor:
        """A multiple of v, which must not vanish by underflow: a map may enlarge it."""
        return (factor * leaf).clamp(min=UNDERFLOW) if self.proven else factor * leaf

    def kept(self, places: Sequence[int]) -> Group:
        """The group of some of its tensors, in a core that is not larger than they."""
        forms = {place: self.forms[place] for place in places}
        used = {leaf for form in forms.values() for leaf in form.leaves}
        leaves = {leaf: each for leaf, each in self.leaves.items() if leaf in used}
        found = replace(self, forms=forms, leaves=leaves)
        if self.core.shape[1] > sum(form.width for form in forms.values()):
            return found.gathered()
        return found

    def appended(self, place: int, parts: Sequence[tuple[int, Map]]) -> Group:
        """With a tensor ``sum_j A_j u_j`` of its own tensors u."""
        mixing = [source for source, map_ in parts if not map_.diagonal]
        group = self
        for source in mixing:
            group = group.with_one_leaf(source)
        if any(not group.forms[source].is_channelwise for source in mixing):
            group = group.gathered()
        form = summed([group.forms[source].times(map_) for source, map_ in parts])
        return replace(group, forms={**group.forms, place: form})

    def with_one_leaf(self, place: int) -> Group:
        """The leaves of a tensor as one, if they are diagonal and its alone."""
        form = self.forms[place]
        others = [each for other, each in self.forms.items() if other != place]
        shared = {leaf for each in others for leaf in each.leaves}
        alone = form.is_channelwise and not shared & set(form.leaves)
        if len(form.leaves) < 2 or not alone:
            return self
        variance = self.own_variance(form)
        name = f"leaf {place}, joined"
        one = torch.ones(1, form.width, dtype=torch.float64, device="cpu")
        leaves = {
            leaf: each for leaf, each in self.leaves.items() if leaf not in form.leaves
        }
        forms = {**self.forms, place: replace(form, leaves={name: one})}
        return replace(self, leaves={**leaves, name: variance}, forms=forms)

    def own_variance(self, form: Form) -> Tensor:
        """What diagonal leaves add to the covariance of a tensor; (F or 1, w)."""
        total = torch.zeros(1, form.width, dtype=torch.float64, device="cpu")
        for leaf, each in form.leaves.items():
            size = each.abs()
            if form.error is not None:
                size = (size + form.error[:, None]) * (1 + 8 * UNIT)
            # in this order it underflows only where the result is below UNDERFLOW
            total = total + size * (size * self.leaves[leaf])
        if not (self.proven and form.leaves):
            return total
        return total * (1 + 8 * len(form.leaves) * UNIT) + UNDERFLOW

    def gathered(self) -> Group:
        """The same tensors, stacked as the core, without leaves."""
        core = self.covariance(list(self.forms.values()))
        widths = {place: form.width for place, form in self.forms.items()}
        return self.stacked(core, widths)

    def stacked(self, core: Tensor, widths: Mapping[int, int]) -> Group:
        """A group whose core is a stack of tensors of some widths, by their places."""
        width, forms, first = core.shape[1], dict[int, Form](), 0
        eye = torch.eye(width, dtype=core.dtype, device="cpu")[None]
        none = torch.zeros(1, dtype=torch.float64, device="cpu") if self.proven else None
        for place, own in widths.items():
            last = first + own
            forms[place] = Form(eye[:, first:last], {}, none)
            first = last
        return replace(self, core=core, leaves={}, forms=forms)

    def covariance(self, forms: Sequence[Form]) -> Tensor:
        """``T S T^H + sum_l B_l v_l B_l^H`` of stacked forms; (F, w, w), Hermitian."""
        width = sum(form.width for form in forms)
        some = list(pieces(len(self.core), max(width, self.core.shape[1]) ** 2))
        if len(some) == 1 or torch.is_grad_enabled():
            return self._covariance(forms)
        straight = torch.zeros(len(self.core), dtype=torch.bool, device="cpu")
        found = []
        for places in some:
            here = [form.at(places, straight[places]) for form in forms]
            found.append(self.part(places)._covariance(here))
        return torch.cat(found)

    def _covariance(self, forms: Sequence[Form]) -> Tensor:
        count = len(self.core)
        stacked = torch.cat([whole(form.matrix, count) for form in forms], 1)
        found = stacked @ self.core @ stacked.mH
        names = dict.fromkeys(leaf for form in forms for leaf in form.leaves)
        leaves = []
        for name in names:
            owners = [form for form in forms if name in form.leaves]
            if len(owners) == len(forms) == 1 and owners[0].is_channelwise:
                diagonal = owners[0].leaves[name].abs() ** 2 * self.leaves[name]
                found = found + torch.diag_embed(diagonal).to(found.dtype)
                leaves.append(owners[0].leaves[name])
                continue
            width = self.leaves[name].shape[1]
            coefficients = torch.cat(
                [_dense(form, name, width, count, found.dtype) for form in forms], 1
            )
            weighted = coefficients * self.leaves[name][:, None, :]
            found = found + weighted @ coefficients.mH
            leaves.append(coefficients)
        found = (found + found.mH) / 2
        if not self.proven:
            return found
        error = self._covariance_error(forms, stacked, leaves)
        return raised(found, error + 8 * UNIT * lengths(found))

    def _covariance_error(
        self, forms: Sequence[Form], stacked: Tensor, leaves: Sequence[Tensor]
    ) -> Tensor:
        """How far a covariance may be off, for rounding and the forms' own errors; (F,).

        ``|T S T^H - T' S T'^H| <= (2 |T| + e) e |S|`` for ``|T - T'| <= e``. Each partial
        sum is rounded, so that there is a term for every summand. Lengths are multiplied
        by ``sqrt(|S|)`` before they are squared, where they might be lost.
        """
        root = self.most.sqrt()
        errors = [form.error for form in forms if form.error is not None]
        off = sum(errors[1:], errors[0]) * root
        size = lengths(stacked) * root
        more = 8 + 2 * len(leaves)
        terms = 8 * (stacked.shape[-1] + more) * UNIT
        total = (2 * size + off) * off + terms * size**2
        for each in leaves:
            wide = (each.abs().amax(1) if each.ndim == 2 else lengths(each)) * root
            terms = 8 * (each.shape[-1] + more) * UNIT
            total = total + (2 * wide + off) * off + terms * wide**2
        error: Tensor = total * (1 + 1e-6)
        return error

    def part(self, places: Tensor) -> Group:
        """The group at some frequencies."""
        straight = torch.zeros(len(places), dtype=torch.bool, device="cpu")
        return self.at(places, straight)

    def at(self, places: Tensor, turned: Tensor) -> Group:
        """The group at some frequencies, conjugate at some of them."""
        core = self.core[places]
        if core.is_complex():
            core = torch.where(turned[:, None, None], core.conj(), core)
        leaves = {
            leaf: each if len(each) == 1 else each[places]
            for leaf, each in self.leaves.items()
        }
        forms = {place: form.at(places, turned) for place, form in self.forms.items()}
        return replace(self, core=core, leaves=leaves, forms=forms)

    def joined(self, other: Group, share: Tensor) -> Group:
        """Both groups as one: ``blkdiag((1 + t) S_1, (1 + 1/t) S_2)``.

        Args:
            other: On the same lattice.
            share: t, positive.
        """
        # at least the scale of the other one, which must not vanish
        lift = 2.0 ** max(other.exponent - self.exponent, -MOST_EXPONENT)
        ways = (1 + share), (1 + 1 / share) * lift
        if self.proven:
            ways = ways[0] * (1 + 8 * UNIT), ways[1] * (1 + 8 * UNIT)
        first, second = self.core.shape[1], other.core.shape[1]
        core = self.core.new_zeros(len(self.core), *[first + second] * 2)
        core[:, :first, :first] = ways[0] * self.core
        core[:, first:, first:] = ways[1] * other.core
        leaves = {leaf: self._times(v, ways[0]) for leaf, v in self.leaves.items()}
        leaves |= {leaf: self._times(v, ways[1]) for leaf, v in other.leaves.items()}
        forms = {place: form.widened(0, second) for place, form in self.forms.items()}
        forms |= {place: form.widened(first, 0) for place, form in other.forms.items()}
        found = replace(self, core=core, leaves=leaves, forms=forms)
        if not self.proven:
            return found
        return replace(found, core=raised(core, 8 * UNIT * lengths(core)))


def whole(matrix: Tensor, count: int) -> Tensor:
    """A matrix at each of so many frequencies."""
    return matrix.expand(count, -1, -1)


def _dense(form: Form, leaf: str, width: int, count: int, dtype: torch.dtype) -> Tensor:
    """The coefficients of a leaf as matrices, zeros of a form without; (F, w, k)."""
    each = form.leaves.get(leaf)
    if each is None:
        return torch.zeros(count, form.width, width, dtype=dtype, device="cpu")
    each = torch.diag_embed(each) if each.ndim == 2 else each
    return each.to(dtype).expand(count, -1, -1)


def raised(blocks: Tensor, error: Tensor) -> Tensor:
    """Blocks with so much more on the diagonal."""
    wide = (error * (1 + 1e-6) + UNDERFLOW)[:, None].expand(-1, blocks.shape[1])
    return blocks + torch.diag_embed(wide).to(blocks.dtype)
