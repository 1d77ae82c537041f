"""Labels, their codes, and what classes share of their moments."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from brenier import DataError
from brenier.datasets import gaussian_classes
from brenier.datasets.conditions import read_labels
from brenier.statistics.gaussian import fit_gaussian, moments, pool_covariances
from brenier.transport.coordinates.affine import (
    aligned_coordinates,
    gaussian_coordinates,
    gaussian_pair,
)
from brenier.transport.coordinates.by_class import LENGTH, Classes, codes

# ---- labels, and what classes share


@pytest.mark.parametrize(
    "convert", [list, np.array, lambda v: pd.Series(v, index=range(9, 9 + len(v)))]
)
def test_labels_of_every_kind(convert: Callable[[list[Any]], Any]) -> None:
    assert read_labels(convert(["a", "b", "a"]), "labels", 3) == ["a", "b", "a"]
    assert read_labels(convert([3, 1, 3]), "labels", 3) == [3, 1, 3]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("abc", "labels: must be a sequence of labels, one per row"),
        (["a", "b"], "labels: has 2 labels for 3 rows"),
        (["a", None, "b"], "labels: the label of row 1 is missing"),
        ([1.0, 2.0, float("nan")], "labels: the label of row 2 is missing"),
        (
            [[1], [2], [3]],
            "labels: the label of row 0 is a list, which is not hashable",
        ),
    ],
)
def test_bad_labels_are_named(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_labels(labels, "labels", 3)


def test_codes_are_apart() -> None:
    for k in (2, 64, 65, 300):
        assert (torch.cdist(codes(k), codes(k)) + torch.eye(k)).min() > 0.6 * LENGTH
        torch.testing.assert_close(
            codes(k).norm(dim=1), torch.full((k,), LENGTH, dtype=torch.float64)
        )


def test_alike_classes_share_their_covariance_and_others_do_not() -> None:
    def error(alike: bool, rows: int) -> tuple[float, float]:
        pairs = gaussian_classes(8, 6, seed=1)
        samples = [
            pairs[0 if alike else k]
            .source(rows, torch.Generator().manual_seed(k))
            .double()
            for k in range(8)
        ]
        truth = [
            fit_gaussian(
                pairs[0 if alike else k].source(200_000, torch.Generator())
            ).covariance
            for k in range(8)
        ]
        own = [moments([part]) for part in samples]
        away = [
            sum(
                float((side.covariance - true).square().sum())
                for side, true in zip(found, truth, strict=True)
            )
            for found in (pool_covariances(own), own)
        ]
        return away[0], away[1]

    together, alone = error(alike=True, rows=20)
    assert together < 0.3 * alone
    together, alone = error(alike=False, rows=5000)
    assert together < 1.1 * alone


def test_classes_have_the_coordinates_of_a_fit_of_their_own() -> None:
    pairs = gaussian_classes(3, 4)
    rows = [
        [
            side(500, torch.Generator().manual_seed(1)).double()
            for side in (p.source, p.target)
        ]
        for p in pairs.values()
    ]
    unit = torch.ones(4, dtype=torch.float64)
    together = aligned_coordinates(
        [gaussian_pair(moments([x]), moments([z])) for x, z in rows], unit
    )
    for k, (x, z) in enumerate(rows):
        alone, mine = (
            gaussian_coordinates(x, z, unit),
            Classes((0, 1, 2), together).at(torch.tensor(k)),
        )
        torch.testing.assert_close(
            mine.decode_target(mine.encode_source(x)),
            alone.decode_target(alone.encode_source(x)),
        )
