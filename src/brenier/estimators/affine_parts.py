"""The affine part of the distance of a fit, from all its rows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.datasets import Population, Rows, Split
from brenier.estimators.kept_rows import copied
from brenier.estimators.options import Options
from brenier.statistics import Weighted, joined
from brenier.transport.coordinates import gaussian_fits
from brenier.transport.maps import AffinePart, CrossFitSettings, cross_fitted


def affine_parts(
    splits: Sequence[Split[Population]] | Sequence[Split[Rows]],
    unit: Tensor,
    generator: torch.Generator,
    options: Options,
    gain: bool,
) -> list[AffinePart] | list[None]:
    """Return the affine parts of the distances of some problems, whose Gaussians are fitted together.

    Args:
        splits: of every problem; the rows that certify come first in its terms.
        unit: (d,), of the coordinates.
        generator: where the fit's randomness stands; nothing is drawn from it.
        options: how Gaussians are fitted, how many folds and rows there are, no more than determine coordinates, and
            what there is time for: fewer folds, or nothing.
        gain: whether there is a network whose gain is measured.
    """
    settings = options.settings
    cross_fit = _affordable(options)
    if cross_fit is None:
        return [None] * len(splits)
    unit = unit.cpu()
    most = min(cross_fit.rows(len(unit)), settings.pipeline.coordinate_rows)
    most //= len(splits)
    own = copied(generator)  # measuring is not to change what is drawn after it
    pairs, training = [], []
    for split in splits:
        measured = [_measured_rows(split, k, own, most) for k in (0, 1)]
        some = [side.of(lambda rows: rows.cpu() / unit) for side in measured]
        held_out = [len(side) for side in split.certify]
        if split.held_out:
            held_out = [
                n + len(side) for n, side in zip(held_out, split.select, strict=True)
            ]
        pairs.append((some[0], some[1]))
        training.append((some[0][held_out[0] :], some[1][held_out[1] :]))
    fit = functools.partial(gaussian_fits, settings=settings.gaussian)
    terms = cross_fitted(pairs, fit, own, cross_fit)
    if not (gain and all(split.held_out for split in splits)):
        return [AffinePart(found, None, unit) for found in terms]
    return [
        AffinePart(found, baseline, unit)
        for found, baseline in zip(terms, fit(training), strict=True)
    ]


def _affordable(options: Options) -> CrossFitSettings | None:
    """Return how there is time to cross-fit, or None where there is none."""
    pace, settings = options.pace, options.settings.cross_fit
    share = pace.settings.affine_share
    # Fits to all rows, to those of training, and to all but one fold, each as dear as the coordinates.
    of_fit = pace.settings.fit_share
    if pace.affords(of_fit * (settings.folds + 2), share, ""):
        return settings
    folds = min(2, settings.folds)
    if pace.affords(
        of_fit * (folds + 2), share, "the affine part of the distance left out"
    ):
        pace.shortened.append(f"the affine part of the distance in {folds} folds")
        return dataclasses.replace(settings, folds=folds)
    return None


def _measured_rows(
    split: Split[Population] | Split[Rows],
    side: int,
    generator: torch.Generator,
    most: int,
) -> Weighted:
    """Return rows of one side, those that certify in front; then those selected by, then others."""
    certify = split.certify[side]
    if not split.held_out:
        return certify
    held_out = joined([certify, split.select[side]])
    populations: tuple[Population, Population] = split.source, split.target
    population = populations[side]
    # As many others as are held out, at least: the baseline is fitted to them.
    count = max(most - len(held_out), len(held_out))
    others = population.sample_weighted(count, generator)
    return joined([held_out, others])
