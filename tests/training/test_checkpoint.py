"""Which files of unfinished runs are refused."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from brenier import Run, Settings
from brenier.errors import ModelFileError
from brenier.training import checkpoint, read_run, resume_or_start

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
