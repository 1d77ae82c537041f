"""Damaged files: every fault is told with the file's name, and what reads it may tell its own."""

from pathlib import Path

import numpy as np
import pytest

from brenier import DataError
from brenier.datasets.reading import open_npz, read_intact


def test_what_is_read_comes_back(tmp_path: Path) -> None:
    assert read_intact(tmp_path, str) == str(tmp_path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("odd bytes"), "odd bytes"), (EOFError(), "EOFError")],
)
def test_faults_become_one_kind_of_error(error: Exception, reason: str) -> None:
    def read(path: Path) -> None:
        raise error

    with pytest.raises(DataError) as caught:
        read_intact(Path("a.npz"), read)
    assert str(caught.value) == f"a.npz: cannot be read ({reason}); give an intact file"
    assert caught.value.__cause__ is error
    with pytest.raises(DataError) as caught:
        read_intact(Path("a.npz"), read, "another", "images")
    assert (
        str(caught.value) == f"a.npz: cannot be read as images ({reason}); give another"
    )


def test_errors_of_data_are_passed_on() -> None:
    own = DataError("key: is not there")

    def read(path: Path) -> None:
        raise own

    with pytest.raises(DataError) as caught:
        read_intact(Path("a.npz"), read)
    assert caught.value is own


def test_archives_hold_arrays_of_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), y=np.array([None], object))
    with open_npz(path) as archive:
        assert archive.files == ["x", "y"]
        assert archive["x"].tolist() == [0, 1, 2]
        with pytest.raises(ValueError, match="allow_pickle"):
            archive["y"]
    with path.open("wb") as stream:
        np.save(stream, np.arange(3))
    with pytest.raises(ValueError, match=r"it is a \.npy file"), open_npz(path):
        pass
