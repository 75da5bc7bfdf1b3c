"""The likelihood of the cells of showers, given hits and energy of their layers: of exactly what is drawn.

In each layer, the hits around a window come first (`around`), then the window in passes (`window`), layers in three
stages (`stages`); what comes out is given the totals of passes (`parts.given_totals`, `parts.shares`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from caloforge.models.nested3d.core import log_odds
from caloforge.models.nested3d.frame import Frame, Place
from caloforge.models.nested3d.networks import FAINT, NEVER, CellNetworks, compress
from caloforge.models.parts.given_totals import log_density_of_parts, log_probability_of_hits
from caloforge.models.parts.hit_energies import ANCHOR, log_excess
from caloforge.models.parts.layer_features import summarise
from caloforge.models.parts.mixtures import log_density

TYPICAL_HITS = 150.0
"""Hits of a shower that counts once."""
ALIKE = 0.75
"""How much alike showers count in the likelihood of cells: 0, by their hits; 1, all the same."""


class CellLikelihood(CellNetworks):
    """The networks, with the cells that they are about and their likelihood."""

    def around_and_window(self, showers: Tensor, place: Place | None) -> tuple[Tensor, Tensor]:
        """Take the cells around and inside the windows of layers out of showers.

        Args:
            showers: (n, n_layers, ...).
            place: Where the axis crosses the layers.

        Returns:
            (n, n_layers, n_around) and (n, n_layers, n_window), the latter in the order of drawing.
        """
        window = self.window_of(showers, place)
        if self.around is None or place is None:
            return window[:, :, :0], window
        around = self.around.cells
        return self._taken(showers, place, around.rows, around.columns), window

    def window_of(self, showers: Tensor, place: Place | None) -> Tensor:
        """Take the cells inside the windows of layers out of showers, see `around_and_window`."""
        if place is None:
            return showers.flatten(2).index_select(2, self.inside)
        return self._taken(showers, place, self.window_rows, self.window_columns)

    def _taken(self, showers: Tensor, place: Place, rows: Tensor, columns: Tensor) -> Tensor:
        """Cells at `rows` and `columns` from the middle of windows, (n, n_layers, n_cells); 0 outside the readout."""
        row, column = place.row[:, :, None].long(), place.column[:, :, None].long()
        cell = row * self.shape[1] + column + (rows * self.shape[1] + columns)
        taken = showers.flatten(2).gather(2, cell.clamp_(0, self.n_layer - 1))
        if self.masked:
            taken = taken * (_inside(row, rows, self.shape[0]) & _inside(column, columns, self.shape[1]))
        return taken

    def core(self, showers: Tensor, window: Tensor, place: Place | None) -> tuple[Tensor, Tensor]:
        """Describe the core of showers.

        Args:
            showers: (n, n_layers, n_cells).
            window: (n, n_layers, n_window), see `around_and_window`.
            place: Where the axis crosses the layers.

        Returns:
            Log-odds of the parts of the energy, (n, n_parts): how concentrated it is in the windows, and, where there
            is anything around them, the part in the windows; and the energy-weighted centroid of the windows relative
            to the axis, in mean cells, (n, 2).
        """
        axis = self._axis(place, window)
        total = window.sum(2)
        weighted = window @ self.moments_of
        sums = weighted[..., :2] - axis * total[:, :, None]
        whole = total.sum(1)
        parts = [weighted[..., 6].sum(1) / (whole + FAINT)]
        if self.around is not None:
            parts.append(whole / (showers.flatten(1).sum(1) + FAINT))
        return log_odds(torch.stack(parts, 1)), sums.sum(1) / (whole[:, None] + FAINT)

    def core_of_layers(self, energy: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """What each layer adds to the parts of `core`, which are weighted sums of this.

        Args:
            energy: (n, n_layers).
            window: (n, n_layers, n_window).

        Returns:
            Values and weights, both (n, n_layers, n_parts).
        """
        total = window.sum(2)
        values = [(window @ self.moments_of)[..., 6] / (total + FAINT)]
        weights = [total / (total.sum(1, keepdim=True) + FAINT)]
        if self.around is not None:
            values.append(total / (energy + FAINT))
            weights.append(energy / (energy.sum(1, keepdim=True) + FAINT))
        return torch.stack(values, 2), torch.stack(weights, 2)

    def features(
        self, context: Tensor, hits: Tensor, energy: Tensor, of_frame: Tensor, of_core: Tensor
    ) -> Tensor:
        """What is known about each layer before its cells, (n, n_layers, ...)."""
        core = of_core[:, None].expand(-1, self.n_layers, -1)
        learnt = self.layer_features(context, hits, energy)
        centroid = core[:, :, None, self.n_parts : self.n_parts + 2]
        gated = (learnt[:, :, : self.n_gates, None] * centroid).flatten(2)
        return torch.cat([summarise(hits, energy), learnt, of_frame, core, gated], 2)

    def losses(
        self,
        features: Tensor,
        showers: Tensor,
        around: Tensor,
        window: Tensor,
        place: Place | None,
        shift: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Negative log-likelihood of shares, of hits and of energies of showers, given their layers.

        Args:
            features: (n_showers, n_layers, ...), see `features`.
            showers: (n_showers, n_layers, ...) in units of a typical hit.
            around: (n_showers, n_layers, n_around), see `around_and_window`.
            window: (n_showers, n_layers, n_window), likewise.
            place: Where the axis crosses the layers.
            shift: (n_showers,) of the nodes of quadratures, from -0.5 to 0.5.

        Returns:
            Three scalars, means over the showers weighted by `shower_weights`; the last two have `ANCHOR` times that of
            independent cells added.
        """
        n = showers.shape[0]
        axis, possible = self._axis(place, showers), self._possible(place)
        parts = window.split(self.sizes, 2)
        group_hits, group_energy = self._groups(showers, parts)
        encoded = self.of_groups(group_hits, group_energy)
        sums = window @ self.moments_of
        moments = self.moments(sums, axis)
        maps = self._full_maps(around, window)
        shifts = shift[:, None].expand(-1, self.n_layers)
        weights = shower_weights(showers)[:, None].expand(-1, self.n_layers)
        of_hits = of_energy = of_shares = features.new_zeros(())
        far = self._far(around, axis)
        if self.around is not None:
            of_hits, of_energy = self.around.likelihood(
                torch.cat([features, encoded], 2).flatten(0, 1),
                around.flatten(0, 1),
                self._centres(place),
                shifts.flatten(),
                weights.flatten(),
            )
        drawn: list[int] = []
        for stage, shares, passes in self._stages():
            layers = torch.tensor(stage.layers, device=showers.device)
            near = [self._near(values[:, drawn], stage) for values in (encoded, moments, maps)]
            weight = weights[:, layers].flatten()
            if self.n_groups > 1:
                inputs = torch.cat([features[:, layers], *near[0]], 2).flatten(0, 1)
                each = shares.loss(
                    inputs, group_hits[:, layers].flatten(0, 1), group_energy[:, layers].flatten(0, 1)
                )
                of_shares = of_shares + (weight * each).sum()
            earlier = [self._of_earlier(sums[:, drawn], axis, drawn, stage)] if drawn else []
            conditions = self._conditions(
                features[:, layers], encoded[:, layers], far[:, layers], [*near[0], *near[1], *earlier]
            )
            own = maps[:, layers].flatten(0, 1)
            seen = [values.flatten(0, 1) for values in near[2]]
            here_axis, here_shift = axis[:, layers].flatten(0, 1), shifts[:, layers].flatten()
            bells = self._bells(place, layers)
            known: list[Tensor] = []
            for number, network in enumerate(passes):
                part = parts[number][:, layers].flatten(0, 1)
                hidden = self.in_map[self._cells_of(number).start :]
                here = own.index_fill(1, hidden, 0.0)
                logit, state = network(
                    self._maps(here, seen), self._with_drawn(conditions, known, here_axis), bells
                )
                if possible is not None:
                    allowed = possible[:, layers, self._cells_of(number)].flatten(0, 1)
                    logit = torch.where(allowed > 0, logit, NEVER)
                hit = part > 0
                alone = functional.binary_cross_entropy_with_logits(
                    logit, hit.to(logit.dtype), reduction="none"
                ).sum(1)
                each = log_probability_of_hits(logit, hit, here_shift) - ANCHOR * alone
                of_hits = of_hits + (weight * each).sum()
                row = hit.nonzero()[:, 0]
                mixture = network.energies(state.transpose(1, 2)[hit])
                value = log_excess(part[hit], self.threshold)
                together = log_density_of_parts(mixture, value, row, len(hit), here_shift)
                of_energy = of_energy + (weight * together).sum()
                of_energy = of_energy + ANCHOR * (weight[row] * log_density(*mixture, value)).sum()
                known.append(part)
            drawn += stage.layers
        return of_shares / n, -of_hits / n, -of_energy / n

    def _groups(self, showers: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Hits and energy of the groups of all layers, both (n, n_layers, n_groups)."""
        hits = torch.stack([(part > 0).sum(2).to(showers.dtype) for part in parts], 2)
        energy = torch.stack([part.sum(2) for part in parts], 2)
        if self.around is None:
            return hits, energy
        cells = showers.flatten(2)
        all_hits, all_energy = (cells > 0).sum(2).to(showers.dtype), cells.sum(2)
        rest = (all_hits - hits.sum(2)).clamp(min=0)
        left = (all_energy - energy.sum(2)).clamp(min=0) * (rest > 0)
        return torch.cat([rest[..., None], hits], 2), torch.cat([left[..., None], energy], 2)

    def _full_maps(self, around: Tensor, window: Tensor) -> Tensor:
        """What networks see of complete layers, (n, n_layers, map_size)."""
        maps = window.new_zeros(*window.shape[:2], self.map_size)
        maps = maps.index_copy(2, self.in_map, compress(window) * (window > 0))
        if self.around is None:
            return maps
        near = (self.around_in_map >= 0).nonzero()[:, 0]
        seen = around.index_select(2, near)
        return maps.index_copy(2, self.around_in_map[near], compress(seen) * (seen > 0))

    def _far(self, around: Tensor, axis: Tensor) -> Tensor:
        """Centroid of the hits around windows relative to the axis, (n, n_layers, 2)."""
        if self.around is None:
            return torch.zeros_like(axis)
        total = around.sum(2, keepdim=True)
        return self._relative(around @ self.far, total, axis)

    def _relative(self, sums: Tensor, total: Tensor, axis: Tensor) -> Tensor:
        return (sums - axis / 5 * total) / (total + FAINT)

    def _centres(self, place: Place | None) -> Tensor | None:
        """Row and column of the middle of windows, (n * n_layers, 2), where they may reach beyond the readout."""
        if not self.masked or place is None:
            return None
        return torch.stack([place.row, place.column], 2).flatten(0, 1).long()

    def _bells(self, place: Place | None, layers: Tensor) -> tuple[Tensor, Tensor] | None:
        if place is None or not self.moving:
            return None
        along_y, along_x = Frame.bells(place.layers(layers), self.lattice.n_rows)
        return along_y.flatten(0, 1), along_x.flatten(0, 1)


def _inside(middle: Tensor, steps: Tensor, n: int) -> Tensor:
    """Whether `middle` (n_showers, n_layers, 1) plus `steps` (n_cells,) lies in a readout of n rows, for all cells."""
    reach = int(steps.abs().max()) if len(steps) else 0
    along = middle + torch.arange(-reach, reach + 1, device=steps.device)
    return ((along >= 0) & (along < n)).index_select(2, steps + reach)


def shower_weights(showers: Tensor) -> Tensor:
    """Weights of showers (n, n_layers, n_cells) in the likelihood of cells, with a mean of 1 for typical ones, (n,).

    A sum over hits would let showers of high energy rule. How many hits a shower has is given when its cells are drawn,
    so that any weight by it leaves the best model as it is; this one lets showers count more alike.
    """
    hits = (showers > 0).flatten(1).sum(1).to(showers.dtype)
    return (TYPICAL_HITS / (hits + 1)) ** ALIKE
