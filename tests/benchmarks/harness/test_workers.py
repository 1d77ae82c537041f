"""Functions called in a new process, or once."""

import os

import pytest
import torch

from benchmarks.harness import Once, in_new_process


def test_a_function_is_called_in_another_process_with_its_threads() -> None:
    assert in_new_process(1, os.getpid) != os.getpid()
    assert in_new_process(1, torch.get_num_threads) == 1


def test_a_result_or_a_failure_is_kept() -> None:
    calls = []

    def divide(number: float) -> float:
        calls.append(number)
        return 1 / number

    half, never = Once(lambda: divide(2.0)), Once(lambda: divide(0.0))
    assert half() == half() == 0.5
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            never()
    assert calls == [2.0, 0.0]
