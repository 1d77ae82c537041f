"""Which files of unfinished runs are refused."""

import errno
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from brenier import Run, Settings
from brenier.errors import DataWarning, ModelFileError
from brenier.training import Keeper, checkpoint, read_run, resume_or_start, train

sys.path.insert(0, str(Path(__file__).parent))
from tasks import Regression


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where this version has left an unfinished run."""
    task = Regression(torch.Generator().manual_seed(0))
    run: Run[Any] = Run(task, Settings(), task.generator)
    run.advance()
    checkpoint.save_run(tmp_path, run, "mark", seed=3)
    return str(tmp_path)


def refusal(folder: str) -> str:
    """Why the run in a folder can neither be read nor resumed; the file stays."""
    file = Path(folder) / checkpoint.FILE
    written = file.read_bytes()
    with pytest.raises(ModelFileError) as reading:
        read_run(folder)
    with pytest.raises(ModelFileError) as resuming:
        resume_or_start(folder, seed=3, seed_given=False)
    assert str(reading.value) == str(resuming.value)
    assert file.read_bytes() == written
    return str(reading.value)


def message(folder: str, old: str, new: str) -> str:
    return (
        f"{Path(folder) / checkpoint.FILE}: the unfinished run there was started by brenier {old}, this is {new}; "
        "resume it with that version, or delete the file to start anew"
    )


def test_a_run_of_this_version_is_read(folder: str) -> None:
    found = read_run(folder)
    assert found is not None
    assert (found["fingerprint"], found["seed"]) == ("mark", 3)
    assert found["run"]["counters"]["step"] == 1


@pytest.mark.parametrize("other", ["0.1", "99.1.dev2", "unknown"])
def test_a_run_of_another_version_is_refused_and_both_are_named(
    other: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = checkpoint.library_version()
    monkeypatch.setattr(checkpoint, "library_version", lambda: other)
    assert refusal(folder) == message(folder, old=here, new=other)


def test_a_run_of_0_1_which_knew_no_version_is_refused(folder: str) -> None:
    file = Path(folder) / checkpoint.FILE
    state = torch.load(file, weights_only=True)
    del state["version"]
    assert state.keys() == {"fingerprint", "seed", "run"}  # all that 0.1 wrote
    torch.save(state, file)
    here = checkpoint.library_version()
    assert refusal(folder) == message(folder, old="0.1", new=here)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_run_that_cannot_be_written_is_warned_of_once_and_trained_on(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [0], checkpoint.save_run

    def failing(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] < 3:
            raise OSError(number, "no such luck", str(tmp_path / checkpoint.FILE))
        original(*arguments)

    monkeypatch.setattr(checkpoint, "save_run", failing)
    task = Regression(torch.Generator().manual_seed(0))
    run: Run[Any] = Run(task, Settings(max_steps=8, evaluate_every=2), task.generator)
    keeper = Keeper(str(tmp_path), "mark", seed=3)
    with pytest.warns(
        DataWarning, match=r"run\.pt.*training goes on.*from step 1 on.*Free space"
    ) as caught:
        train(run, keeper)
    assert len(caught) == 1
    assert calls == [5]
    found = read_run(tmp_path)
    assert found is not None
    assert found["run"]["counters"]["finished"] == "budget"


def test_a_run_that_gave_up_is_written_as_it_ended(folder: str) -> None:
    task = Regression(torch.Generator().manual_seed(0))
    run: Run[Any] = Run(task, Settings(max_steps=9, max_rollbacks=1), task.generator)
    advance = run.advance

    def give_up() -> None:
        advance()
        if run.step == 2:
            run.finished = "gave up"

    run.advance = give_up  # type: ignore[method-assign]
    train(run, Keeper(folder, "mark", seed=3))
    found = read_run(folder)
    assert found is not None
    timeless = {"seconds": 0, "evaluation_seconds": 0}
    assert found["run"]["counters"] | timeless == {
        **timeless,
        **{"step": 2, "batch_size": 1024, "rate_factor": 1.0, "rollbacks": 0},
        **{"evaluations_without_improvement": 0, "finished": "gave up"},
    }


def test_finished_runs_are_read_reopened_and_removed(folder: str) -> None:
    path = checkpoint.finish_run(folder, "mark", 3)
    assert path is not None
    assert checkpoint.is_finished(path)
    start = resume_or_start(folder, seed=3, seed_given=True)
    assert start.finished
    assert resume_or_start(folder, seed=4, seed_given=True).state is None
    assert resume_or_start(folder, seed=4, seed_given=False).seed == 3
    checkpoint.reopen_run(folder)
    assert not resume_or_start(folder, seed=3, seed_given=True).finished
    with pytest.raises(ModelFileError, match="random_state"):
        resume_or_start(folder, seed=4, seed_given=True)
    checkpoint.finish_run(folder, "mark", 3)
    checkpoint.remove_run(folder)
    assert not list(Path(folder).iterdir())
    assert checkpoint.finish_run(folder, "mark", 3) is None
