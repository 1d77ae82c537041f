"""Functions called in a process of their own, or only once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")


def in_new_process(threads: int, function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function returns in a new process with so many threads of torch.

    Peak memory, and the seconds of first calls, are then those of the function alone. Function and arguments are
    sent by pickle.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, context, initializer=torch.set_num_threads, initargs=(threads,)
    ) as pool:
        return pool.submit(function, *arguments).result()


class Once(Generic[T]):
    """A function that is called at most once; what it returned or raised is kept.

    Methods of one problem share what is expensive, for example a trained map. Where it fails, all their rows fail.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._values: list[T] = []
        self._error: Exception | None = None

    def __call__(self) -> T:
        """Return what the function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        if not self._values:
            try:
                self._values.append(self._function())
            except Exception as error:
                self._error = error
                raise
        return self._values[0]
