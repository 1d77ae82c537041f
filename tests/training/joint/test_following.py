"""Tasks that know nothing of ranks are trained by several, and only the first evaluates them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import same
from ranked import outcomes, together
from torch import Tensor, nn

from brenier import Evaluation, Loss, Run, Settings, Task
from brenier.training import (
    Keeper,
    RankError,
    Ranks,
    call,
    dismiss,
    follow,
    read_run,
    resume_or_start,
    share_run,
    train,
)

sys.path.insert(0, str(Path(__file__).parents[1]))
from tasks import SETTINGS, TASKS


class Rows(Task[nn.Linear]):
    """Least squares of rows that are known for every step: a part of them for each of some ranks."""

    averages = ("train_value",)
    counts = ("rows",)

    def __init__(self, size: int, rank: int | None) -> None:
        generator = torch.Generator().manual_seed(0)
        self.size, self.rank, self.step, self.evaluated = size, rank, 0, 0
        self.model = nn.Linear(2, 1).double()
        for parameter in self.model.parameters():
            parameter.data.normal_(generator=generator)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        generator = torch.Generator().manual_seed(self.step)
        x = torch.randn(12, 2, generator=generator, dtype=torch.float64)
        x = x if self.rank is None else x[self.rank :: self.size]
        assert len(x) == rows
        value = (self.model(x).squeeze(-1) - x.sum(-1)).square().mean()
        self.step += 1
        yield Loss(value, [{"train_value": value.item(), "rows": rows}])

    def evaluate(self, model: nn.Linear) -> Evaluation:
        self.evaluated += 1
        value = float((model.weight - 1).square().sum())
        return Evaluation(value, (torch.tensor([value, value]),), {})


def run_of(size: int, rank: int | None) -> Run[Any]:
    settings = Settings(
        max_steps=20, batch_size=12, evaluate_every=5, learning_rate=0.05
    )
    return Run(Rows(size, rank), settings, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [2, 3])
def test_the_mean_over_parts_is_that_of_one_process(size: int) -> None:
    def work(ranks: Ranks) -> Run[Any]:
        run = run_of(size, ranks.rank)
        run.join(ranks)
        train(run)
        return run

    alone = run_of(1, None)
    train(alone)
    runs: list[Any] = together(size, work)
    assert [run.task.evaluated for run in runs] == [5] + [0] * (size - 1)
    for run in runs:
        for name, value in alone.result().state_dict().items():
            torch.testing.assert_close(run.result().state_dict()[name], value)
        for row, other in zip(run.history, alone.history, strict=True):
            for name in ("step", "value", "train_value", "rows"):
                assert row[name] == pytest.approx(other[name], nan_ok=True)
            assert row["seconds"] == runs[0].history[0]["seconds"] or row["step"] > 0


def shared(
    name: str, ranks: Ranks, folder: Path | None = None, join_after: int = 0
) -> Any:
    """Train a task of `tasks.py` with others, from its start or where it was; followers return the last word."""
    if not ranks.first:
        return follow(ranks)
    start = resume_or_start(None if folder is None else str(folder), 0, True)
    run: Run[Any] = Run(TASKS[name](start.generator), SETTINGS[name], start.generator)
    keeper = None if folder is None else Keeper(str(folder), "mark", start.seed)
    if keeper is not None:
        keeper.restore(run, start)
    kept = keeper is not None

    def after_step() -> None:
        if run.ranks.size == 1 and run.step >= join_after:
            share_run(run, ranks, kept)

    if not join_after:
        share_run(run, ranks, kept)
    train(run, keeper, after_step=after_step)
    run.leave()
    dismiss(ranks, "well done")
    return run


@pytest.mark.parametrize("name", TASKS)
def test_any_task_is_shared_and_is_the_same_every_time(name: str) -> None:
    (first, word), (second, _) = (
        together(2, lambda ranks: shared(name, ranks)) for _ in range(2)
    )
    assert word == "well done"
    assert same(dict(first.result().state_dict()), dict(second.result().state_dict()))
    assert first.step == SETTINGS[name].max_steps
    assert first.history[-1]["value"] < 0.1 * first.history[0]["value"]


@pytest.mark.parametrize("join_after", [1, 7, 25, 50, 51])
def test_ranks_may_join_a_run_that_is_kept_at_any_step(
    join_after: int, tmp_path: Path
) -> None:
    """Whenever the first writes the run down, all give their part, and never else."""
    run, word = together(
        2, lambda ranks: shared("regression", ranks, tmp_path / "run", join_after)
    )
    assert word == "well done"
    assert run.step == SETTINGS["regression"].max_steps
    state = read_run(tmp_path / "run")
    assert state is not None
    assert len(state["run"]["others"]) == 1


class StopError(Exception):
    """What ends the first rank."""


@pytest.mark.parametrize("again", [2, 3, 1])
def test_a_run_whose_first_rank_ended_goes_on(
    again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = together(2, lambda ranks: shared("regression", ranks))
    advance = Run.advance

    def advance_half_way(run: Run[Any]) -> None:
        advance(run)
        if run.step == 157 and run.ranks.first:
            run.ranks.fail("StopError: half way")
            run.ranks.close()
            raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", advance_half_way)
        first, other = outcomes(
            2, lambda ranks: shared("regression", ranks, tmp_path / "run")
        )
    assert isinstance(first, StopError)
    assert isinstance(other, RankError)
    assert other.reason == "rank 0: StopError: half way"
    state = read_run(tmp_path / "run")
    assert state is not None
    assert 100 < state["run"]["counters"]["step"] < 157

    def work(ranks: Ranks) -> Any:
        return shared("regression", ranks, tmp_path / "run")

    if again == 1:
        from tasks import trained

        run = trained("regression", str(tmp_path / "run"))
    else:
        run, *_ = together(again, work)
    assert run.step == SETTINGS["regression"].max_steps
    equal = same(dict(run.result().state_dict()), dict(whole.result().state_dict()))
    assert equal == (again == 2)
    for found, expected in zip(
        run.result().parameters(), whole.result().parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_a_disk_that_is_full_is_warned_of_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brenier.training import checkpoint

    told: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    monkeypatch.setattr(
        "brenier.training.resume.warn", lambda words, _: told.append(words)
    )
    run, word = together(2, lambda ranks: shared("regression", ranks, tmp_path))
    assert word == "well done"
    assert run.finished == "budget"
    (words,) = told
    assert words.startswith("checkpoint: the run cannot be written (")


def test_followers_answer_what_they_are_asked_until_the_end() -> None:
    heard: list[tuple[int, Any]] = []

    def work(ranks: Ranks) -> Any:
        if not ranks.first:
            return follow(
                ranks, {"note": lambda what: heard.append((ranks.rank, what))}
            )
        call(ranks, "note", "a")
        call(ranks, "note", Tensor([1.0]).tolist())
        dismiss(ranks, {"last": "word"})
        return None

    assert together(3, work) == [None, {"last": "word"}, {"last": "word"}]
    assert sorted(map(str, heard)) == [
        "(1, 'a')",
        "(1, [1.0])",
        "(2, 'a')",
        "(2, [1.0])",
    ]


def test_a_process_alone_is_as_it_was() -> None:
    run = run_of(1, None)
    share_run(run, Ranks(), kept=True)
    train(run)
    assert run.finished


def test_what_others_held_is_forgotten_once_a_run_goes_on_without_them() -> None:
    """Else ranks that join later would go on from where others were long ago."""
    run = run_of(1, None)
    run._others = [{"records": []}]
    assert len(run.state_dict()["others"]) == 1
    run.advance()
    assert "others" not in run.state_dict()
