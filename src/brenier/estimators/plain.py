"""From two populations to a transport map: split, coordinates, training, selection, certificate.

Each side is split three ways: rows to train on, rows to select by (held-out J, early stopping), and rows that certify
the result and take part in nothing else. Where the trained network does not beat the map training started from (see
`learning`), that is returned, refitted to all samples, or to as many of a stream as training drew.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from brenier.datasets import Population, Split
from brenier.estimators.pipeline import (
    INVERSE,
    MANY,
    MOMENTS,
    REFITTED,
    Fitted,
    Options,
    begin,
    conclude,
    learn,
    units_of,
)
from brenier.estimators.start import identity, trainable
from brenier.estimators.verdict import beats_start
from brenier.statistics import Calibration, Features
from brenier.training.run import Run
from brenier.transport.coordinates import (
    Coordinates,
    gaussian_coordinates,
    plain_coordinates,
)
from brenier.transport.dual import Draw
from brenier.transport.maps import TransportMap


def fit_map(source: Population, target: Population, options: Options) -> Fitted:
    """Return the transport map between two populations."""
    state, seed, generator = begin(options)
    split = Split.of(source, target, generator)
    coordinates = _coordinates(split.source, split.target, options, generator)
    run = _run(split, coordinates, options, generator)
    learn(run, options, state, seed, coordinates)
    x, z = (
        side.sample_distinct(MANY, generator).to(options.device)
        for side in (split.source, split.target)
    )
    learnt = options.warm is not None or beats_start(
        run, coordinates.encode_source(x), coordinates.encode_target(z)
    )
    network = run.result() if learnt else identity(source.dim, options)
    transport = TransportMap(
        network,
        coordinates,
        method=run.objective.method,
        tol=INVERSE * run.objective.tol,
    )
    certificate = transport.measure(
        *split.certify, held_out=split.held_out, many=(x, z)
    )
    if not learnt and options.start == "affine":
        rows = MOMENTS + run.drawn
        transport.coordinates = _refitted(
            source, target, coordinates, min(rows, REFITTED), generator
        )
    transport.held_out_distance = certificate
    return conclude(transport, run, options, learnt, split.certify[0])


def _coordinates(
    source: Population, target: Population, options: Options, generator: torch.Generator
) -> Coordinates:
    """Return the coordinates to train in, determined by training rows alone."""
    if options.warm is not None:
        return options.warm.coordinates.to(options.device)
    x, z = (side.sample_distinct(MOMENTS, generator).cpu() for side in (source, target))
    make = gaussian_coordinates if options.start == "affine" else plain_coordinates
    return make(x, z, units_of(x, z, options)).to(options.device)


def _run(
    split: Split, coordinates: Coordinates, options: Options, generator: torch.Generator
) -> Run:
    """Return a fresh run in the given coordinates."""

    def inward(transform: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda rows: transform(rows.to(options.device)).to(options.dtype)

    potential = trainable(split.source.dim, options, generator)
    encode_source, encode_target = (
        inward(coordinates.encode_source),
        inward(coordinates.encode_target),
    )
    held_out = (encode_source(split.select[0]), encode_target(split.select[1]))
    draws = _draw(split.source, encode_source), _draw(split.target, encode_target)
    rows = min(
        options.settings.batch_size,
        *(side.size or MOMENTS for side in (split.source, split.target)),
    )
    features = Features(rows, held_out[0], generator)
    calibration = [
        Calibration(
            features,
            move(side.sample_distinct(MOMENTS, generator)),
            side.size is not None and side.size <= MOMENTS,
        )
        for side, move in ((split.source, encode_source), (split.target, encode_target))
    ]
    return Run(
        potential,
        options.objective,
        *draws,
        held_out,
        options.settings,
        generator,
        calibration,
    )


def _draw(side: Population, inward: Callable[[Tensor], Tensor]) -> Draw:
    """Return how batches of a population are drawn in the coordinates; rows in memory are moved there once."""
    if not side.in_memory:
        return lambda n, generator: inward(side.sample(n, generator))
    size = side.size or 0
    rows = inward(side.sample_distinct(size, torch.Generator()))

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return rows[
            torch.randint(size, (min(n, size),), generator=generator).to(rows.device)
        ]

    return draw


def _refitted(
    source: Population,
    target: Population,
    old: Coordinates,
    rows: int,
    generator: torch.Generator,
) -> Coordinates:
    """Return the coordinates determined by many more rows; the certificate, measured before, is the poorer map's."""
    unit = (old.unit / old.spread).cpu()
    return gaussian_coordinates(
        source.chunks(rows, generator), target.chunks(rows, generator), unit
    ).to(old.unit.device)
