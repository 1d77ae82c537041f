"""What every test may lean on: one thread, a seeded generator, the folder of real data if there is one."""

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")  # figures are written, never shown
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # in processes that tests begin; the tests themselves use every core
torch.set_num_threads(1)
pytest.register_assert_rewrite(
    "contracts", "problems"
)  # so that a broken law shows its numbers


@pytest.fixture
def generator() -> torch.Generator:
    """A source of random numbers that starts the same in every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data, which BRENIER_DATA names; without it the test is skipped."""
    named = os.environ.get("BRENIER_DATA")
    if not named:
        pytest.skip("needs real data: set BRENIER_DATA to the folder that holds them")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"BRENIER_DATA names {named}, which is not a folder")
    return folder


# Cases that take seconds where others of the same test show as much: `make test-all` runs them.
LONG = tuple(
    line
    for line in (Path(__file__).parent / "long.txt")
    .read_text(encoding="utf-8")
    .splitlines()
    if line and not line.startswith("#")
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long cases as slow."""
    for item in items:
        if any(name in item.nodeid for name in LONG):
            item.add_marker(pytest.mark.slow)
