"""Several processes find the weights, and learn the means, that one finds which has all of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from problems import normal
from ranked import together
from torch import Tensor

from brenier.statistics import Calibration, Pool, calibrated_weights
from brenier.statistics.calibration import Features
from brenier.statistics.pool import ALONE, pooled_means
from brenier.training import Ranks

DIM = 3


def sides(complete: bool, shift: float = 0.0) -> list[Calibration]:
    """What is known of both sides: the same every time."""
    found = []
    for seed in (0, 1):
        rows = normal(200, DIM, seed=100 + seed) + shift
        generator = torch.Generator().manual_seed(seed)
        features = Features(200, rows, generator)
        found.append(Calibration(features, rows, complete=complete))
    return found


def parts_of(sizes: Sequence[int], seed: int = 0) -> list[Tensor]:
    return [
        normal(size, DIM, seed=10 * seed + k) + 0.2 * k for k, size in enumerate(sizes)
    ]


def one_batch(parts: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The batch whose halves are those of all parts, and where in it the rows of each part are."""
    places = list(torch.arange(sum(map(len, parts))).split([len(p) for p in parts]))
    even = torch.cat([place[::2] for place in places])
    odd = torch.cat([place[1::2] for place in places])
    assert len(even) == len(odd) or len(even) == len(odd) + 1
    order = torch.empty(len(even) + len(odd), dtype=torch.int64)
    order[::2], order[1::2] = even, odd
    return torch.cat(list(parts))[order], [
        (order[None] == place[:, None]).int().argmax(1) for place in places
    ]


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("shift", [0.0, 3.0], ids=["near", "far"])
@pytest.mark.parametrize(
    "sizes",
    [(100, 100), (60, 40, 100), (1, 120), (200, 0), (0, 0, 90), (2, 3), (1, 0)],
    ids=str,
)
def test_parts_are_weighted_as_the_whole_batch(
    sizes: tuple[int, ...], shift: float, complete: bool
) -> None:
    x, z = parts_of(sizes), parts_of(sizes, seed=5)
    (whole_x, places), (whole_z, _) = one_batch(x), one_batch(z)
    known = sides(complete, shift)
    expected = calibrated_weights(known, (whole_x, whole_z))

    def work(ranks: Ranks) -> tuple[list[Tensor], list[Tensor], list[float]]:
        own, rank = sides(complete, shift), ranks.rank
        found = calibrated_weights(own, (x[rank], z[rank]), ranks)
        return found, [side.mean for side in own], [side.count for side in own]

    found = together(len(sizes), work)
    near = 1e-12 if sum(sizes) > 50 else 1e-7  # of few rows the moments are singular
    for rank, (weights, means, counts) in enumerate(found):
        for own, whole in zip(weights, expected, strict=True):
            torch.testing.assert_close(own, whole[places[rank]], rtol=near, atol=near)
            assert bool((own >= 0).all())
        assert counts == [side.count for side in known]
        for mean, side in zip(means, known, strict=True):
            torch.testing.assert_close(mean, side.mean, rtol=1e-12, atol=1e-12)
    for place in (0, 1):
        total = sum(float(weights[place].sum()) for weights, *_ in found)
        assert total == pytest.approx(1, abs=near)
    if sum(sizes) > 50:  # of fewer all count alike
        uneven = [float(weights.max() - weights.min()) for weights in expected]
        assert min(uneven) > 1e-4


def test_a_row_that_is_no_number_leaves_equal_weights_on_every_rank() -> None:
    x, z = parts_of((40, 40)), parts_of((40, 40), seed=5)
    x[1][3] = float("nan")

    def work(ranks: Ranks) -> list[Tensor]:
        batches = (x[ranks.rank], z[ranks.rank])
        return calibrated_weights(sides(True), batches, ranks)

    for of_x, of_z in together(2, work):
        assert torch.equal(of_x, torch.full_like(of_x, 1 / 80))
        assert bool((of_z != 1 / 80).any())


def test_alone_nothing_is_added() -> None:
    rows = normal(5, 2)
    pool: Pool = ALONE
    assert pool.size == 1
    assert pool.others(rows) == []
    assert torch.equal(pool.sums([rows])[0], rows)
    assert torch.equal(pool.largest([rows])[0], rows)


@pytest.mark.parametrize("sizes", [(3, 5), (0, 4), (1, 2, 3)])
def test_means_are_over_all_rows(sizes: tuple[int, ...]) -> None:
    parts = parts_of(sizes)

    def work(ranks: Ranks) -> tuple[list[Tensor], list[float]]:
        own = parts[ranks.rank]
        return pooled_means([own, own[:1]], ranks)

    for (mean, of_first), counts in together(len(sizes), work):
        torch.testing.assert_close(mean, torch.cat(parts).mean(0))
        first = torch.cat([part[:1] for part in parts])
        torch.testing.assert_close(of_first, first.mean(0))
        assert counts == [sum(sizes), len(first)]
