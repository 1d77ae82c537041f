"""The number of threads of torch, which belongs to whoever started this process: it is left as it was.

Threads do not survive a fork, and torch waits for them for ever. So a forked process keeps to one, wherever this module
was imported before the fork; without harm that cannot be done later.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import torch

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class _Blocks(threading.local):
    """How many blocks that keep the number of threads this thread is in."""

    depth = 0


class _Users:
    """Threads of this process that are in such blocks.

    Attributes:
        count: how many there are now.
        threads: the number before the first of them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count, self.threads = 0, 1


_blocks, _users = _Blocks(), _Users()


def in_one_thread(function: Callable[[], object]) -> None:
    """Call a function of small matrices, for which torch is to use one thread.

    Factorisations of matrices of low rank are not determined by these: were their rounding errors those of another
    number of threads, they would be other ones altogether.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        function()
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def threads_kept() -> Iterator[int]:
    """Let the block change the number of threads of torch, and put it back; yield what it was.

    Blocks may overlap in several threads. A new thread takes over what was set last, in whichever thread that was: so
    the number that the first of them found is the one that counts for all.
    """
    _enter()
    threads = torch.get_num_threads()
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
        _leave()


def _enter() -> None:
    """Start this thread, unless it is in a block already, with the number that the first of all threads found."""
    _blocks.depth += 1
    if _blocks.depth > 1:
        return
    with _users.lock:
        if not _users.count:
            _users.threads = torch.get_num_threads()
        elif torch.get_num_threads() != _users.threads:
            torch.set_num_threads(_users.threads)
        _users.count += 1


def _leave() -> None:
    _blocks.depth -= 1
    if not _blocks.depth:
        with _users.lock:
            _users.count -= 1
