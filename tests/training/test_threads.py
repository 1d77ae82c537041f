"""The number of threads of torch is left as it was, whatever overlaps; a forked process does not wait for threads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from fits import X, Y, quick

from brenier.training import threads_kept
from brenier.training.threads import in_one_thread

FORKED = """
import multiprocessing
import sys
import torch
from fits import PAIR, X, quick
torch.set_num_threads(2)
ot = quick(max_steps=2).fit(*PAIR)
torch.randn(10**6).exp().sum()  # after which there are threads
def work():
    assert torch.get_num_threads() == 1
    again = quick(max_steps=2).fit(*PAIR)
    again.inverse_transform(ot.transform(X))
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
assert torch.get_num_threads() == 2
sys.exit(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_fit_in_a_forked_process_ends() -> None:
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join([here, *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FORKED]
    subprocess.run(command, env=environment, check=True, timeout=120)


@pytest.fixture
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_blocks_that_overlap_in_threads_leave_the_number_as_it_was() -> None:
    first_is_in, first_may_end, second_is_in = (threading.Event() for _ in range(3))
    seen: list[int] = []

    def first() -> None:
        with threads_kept():
            torch.set_num_threads(1)
            first_is_in.set()
            first_may_end.wait(10)

    def second() -> None:
        with threads_kept() as threads:
            seen.append(threads)
            torch.set_num_threads(1)
            second_is_in.set()
            one.join(10)

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert first_is_in.wait(10)
    two.start()
    assert second_is_in.wait(10)
    first_may_end.set()
    two.join(10)
    third = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    third.start()
    third.join()
    assert seen == [2, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_blocks_inside_blocks_keep_what_they_found() -> None:
    with threads_kept() as outer:
        torch.set_num_threads(1)
        with threads_kept() as inner:
            torch.set_num_threads(2)
        assert torch.get_num_threads() == 1
        in_one_thread(lambda: torch.set_num_threads(3))
    assert (outer, inner, torch.get_num_threads()) == (2, 1, 2)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
def test_overlapping_fits_leave_the_number_as_it_was() -> None:
    fits = [
        threading.Thread(
            target=lambda steps=steps: quick(max_steps=steps, n_jobs=2).fit(X, Y)  # type: ignore[misc]
        )
        for steps in (1, 20)
    ]
    for fit in fits:
        fit.start()
    for fit in fits:
        fit.join()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_numbers_of_threads_and_processes_are_told() -> None:
    found = quick(max_steps=1).fit(X, Y).diagnostics_
    assert (found["threads"], found["processes"]) == (2, 1)
    torch.set_num_threads(1)
    found = quick(max_steps=1, n_jobs=2).fit(X, Y).diagnostics_
    assert (found["threads"], found["processes"]) == (1, 1)  # of steps too small
