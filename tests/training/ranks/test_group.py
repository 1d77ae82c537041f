"""What ranks tell each other arrives whole, and a rank that is lost is named on all others, in time."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ranked import SETTINGS, outcomes, together
from torch import Tensor

from brenier.training import RankError, Ranks, RankSettings
from brenier.training.ranks import connected

SIZES = pytest.mark.parametrize("size", [1, 2, 3])


def alone_or_together(size: int, work: Any) -> list[Any]:
    return [work(Ranks())] if size == 1 else together(size, work)


@SIZES
def test_sums_and_largest_are_over_all_ranks_and_keep_types(size: int) -> None:
    def work(ranks: Ranks) -> list[Tensor]:
        own = float(ranks.rank + 1)
        values = [
            torch.full((2, 3), own, dtype=torch.float64),
            torch.tensor(own),
            torch.full((0, 2), own),
            torch.tensor([own, -own], dtype=torch.float64),
        ]
        return [*ranks.sums(values), *ranks.largest(values[-1:])]

    total = size * (size + 1) / 2
    for matrix, number, nothing, pair, most in alone_or_together(size, work):
        assert torch.equal(matrix, torch.full((2, 3), total, dtype=torch.float64))
        assert torch.equal(number, torch.tensor(total))
        assert nothing.shape == (0, 2)
        assert torch.equal(pair, torch.tensor([total, -total], dtype=torch.float64))
        assert most.tolist() == [size, -1]


def test_sums_are_the_same_to_the_bit_on_every_rank() -> None:
    def work(ranks: Ranks) -> Tensor:
        generator = torch.Generator().manual_seed(ranks.rank)
        return ranks.sums([torch.randn(1001, generator=generator)])[0]

    first, *others = together(3, work)
    assert all(torch.equal(first, other) for other in others)


@SIZES
def test_the_first_is_told_and_all_are_gathered(size: int) -> None:
    def work(ranks: Ranks) -> tuple[Any, Any, Any, Any]:
        rows = torch.full((ranks.rank, 2), float(ranks.rank), requires_grad=True)
        return (
            ranks.told({"who": ranks.rank, "what": lambda: size}),
            ranks.gathered("a" * 10**ranks.rank),
            ranks.others(rows),
            ranks.agree([ranks.rank + 0.1, 2.0]),
        )

    for rank, found in enumerate(alone_or_together(size, work)):
        told, gathered, others, agreed = found
        assert told["who"] == 0
        assert told["what"]() == size
        assert gathered == ["a" * 10**k for k in range(size)]
        assert [rows.tolist() for rows in others] == [
            [[float(k)] * 2] * k for k in range(size) if k != rank
        ]
        assert not any(rows.requires_grad for rows in others)
        assert agreed == [0.1, 2.0]


@pytest.mark.parametrize(("rows", "size"), [(10, 3), (2, 3), (12, 4), (5, 1)])
def test_shares_add_up(rows: int, size: int) -> None:
    shares = [Ranks(rank, size).share(rows) for rank in range(size)]
    assert sum(shares) == rows
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)


def test_seeds_differ_by_rank_run_and_step() -> None:
    found = {
        Ranks(rank, 3).seed(seed, step)
        for rank in range(3)
        for seed in range(3)
        for step in range(3)
    }
    assert len(found) == 27
    assert all(0 <= seed < 2**63 for seed in found)
    assert Ranks(1, 2).seed(5, 7) == Ranks(1, 3).seed(5, 7)


def test_parts_talk_among_themselves() -> None:
    def work(ranks: Ranks) -> tuple[int, int, float]:
        part = ranks.parts(2)
        number = torch.tensor(float(ranks.rank))
        return part.rank, part.size, float(part.sums([number])[0])

    assert together(4, work) == [(0, 2, 1.0), (1, 2, 1.0), (0, 2, 5.0), (1, 2, 5.0)]
    assert together(2, work) == [(0, 1, 0.0), (0, 1, 1.0)]


@pytest.mark.parametrize("on_disk", [False, True])
def test_parcels_arrive_whole(on_disk: bool, tmp_path: Path) -> None:
    rows = np.arange(12.0).reshape(6, 2)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")[2:]
    parcels = tmp_path / "parcels"
    parcels.mkdir()

    def work(ranks: Ranks) -> Any:
        ranks.folder = parcels if on_disk else None
        parcel = None
        if ranks.first:
            weights = torch.ones(3, requires_grad=True)
            parcel = ranks.parcel((weights, mapped, lambda x: x + 1))
        return ranks.handed_out(parcel)

    first, second, third = together(3, work)
    assert first is None
    for weights, found, function in (second, third):
        assert torch.equal(weights, torch.ones(3))
        assert isinstance(found, np.memmap)
        assert np.array_equal(found, rows[2:])
        assert function(1) == 2
    assert list(parcels.iterdir()) == []


class NotMadeAgain:
    def __reduce__(self) -> Any:
        return _fails, ()


def _fails() -> None:
    raise KeyError("not here")


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_parcel_that_cannot_be_opened_is_named_on_all(
    on_disk: bool, tmp_path: Path
) -> None:
    def work(ranks: Ranks) -> Any:
        ranks.folder = tmp_path if on_disk else None
        parcel = ranks.parcel(NotMadeAgain()) if ranks.first else None
        with pytest.raises(
            ValueError, match=r"rank 1 cannot take it over .KeyError: 'not here'"
        ):
            ranks.handed_out(parcel)
        return ranks.sums([torch.ones(1)])[0].item()  # they still understand each other

    assert together(3, work) == [3.0] * 3
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_sent_is_noticed_before_anything_is_said() -> None:
    with pytest.raises(TypeError, match="pickle"):
        Ranks().parcel(threading.Lock())


def test_a_group_is_nobodys_elsewhere() -> None:
    def work(ranks: Ranks) -> Ranks:
        found: Ranks = pickle.loads(pickle.dumps(ranks))
        return found

    assert [(ranks.rank, ranks.size) for ranks in together(2, work)] == [(0, 1)] * 2


def test_what_is_sent_is_counted() -> None:
    def work(ranks: Ranks) -> tuple[int, int]:
        ranks.sums([torch.ones(10, dtype=torch.float64), torch.ones(5)])
        return ranks.messages, ranks.sent

    assert together(2, work) == [(2, 100)] * 2


# ---- who is lost


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_rank_that_fails_is_named_with_its_reason(lost: int) -> None:
    def work(ranks: Ranks) -> None:
        ranks.sums([torch.ones(2)])
        if ranks.rank == lost:
            ranks.fail("OSError: the disk is gone")
            raise OSError("the disk is gone")
        ranks.sums([torch.ones(2)])

    began = time.monotonic()
    for rank, error in enumerate(outcomes(3, work)):
        if rank == lost:
            assert isinstance(error, OSError)
        else:
            assert isinstance(error, RankError)
            assert error.reason == f"rank {lost}: OSError: the disk is gone"
    assert time.monotonic() - began < SETTINGS.answer_seconds / 2


def test_the_first_word_counts() -> None:
    def work(ranks: Ranks) -> str:
        ranks.gathered(None)
        if ranks.rank:
            ranks.fail("the cause")
        ranks.gathered(None)
        if ranks.first:
            ranks.fail("what followed")
        ranks.gathered(None)
        ranks.close()
        return ranks._word_of_failure(RuntimeError("closed"))

    assert together(2, work) == ["rank 1: the cause"] * 2


def test_who_missed_a_rank_lets_go_of_the_others() -> None:
    """Else the others would wait for it until they give up."""

    def work(ranks: Ranks) -> Any:
        ranks.sums([torch.ones(2)])
        if ranks.rank == 2:
            ranks.close()
            return None
        try:
            ranks.sums([torch.ones(2)])
        except RankError as error:
            time.sleep(1)
            return error  # with all that holds on to the group
        return None

    began = time.monotonic()
    first, second, _ = outcomes(3, work)
    assert isinstance(first, RankError)
    assert isinstance(second, RankError)
    assert time.monotonic() - began < SETTINGS.answer_seconds / 2


def test_a_rank_that_does_not_answer_is_given_up_in_time() -> None:
    settings = RankSettings(answer_seconds=0.5, start_seconds=30, idle_seconds=30)
    ended = threading.Event()

    def work(ranks: Ranks) -> None:
        if ranks.rank == 1:
            ended.wait(20)
            return
        try:
            ranks.sums([torch.ones(2)])
        finally:
            ended.set()

    error, _ = outcomes(2, work, settings)
    assert isinstance(error, RankError)
    assert error.reason == "another rank than 0 did not answer for 0.5 seconds"


def test_a_rank_that_is_idle_waits_long() -> None:
    settings = RankSettings(answer_seconds=0.3, start_seconds=30, idle_seconds=30)

    def work(ranks: Ranks) -> Any:
        if ranks.first:
            time.sleep(1)
            return ranks.told("at last")
        ranks.wait_long()
        found = ranks.told(None)
        ranks.wait_shortly()
        return found

    assert together(2, work, settings) == ["at last"] * 2


def test_ranks_that_do_not_come_are_not_waited_for_without_end() -> None:
    settings = RankSettings(start_seconds=0.5)
    with pytest.raises(RankError, match="not all of 2 came together"):
        connected(dist.HashStore(), "alone", 0, 2, settings)


def test_who_has_left_says_so() -> None:
    def work(ranks: Ranks) -> None:
        ranks.close()
        ranks.sums([torch.ones(1)])

    for error in outcomes(2, work):
        assert isinstance(error, RankError)
        assert error.reason == "this process has left the group"
