"""Budgets of fits in seconds of the processor, so that what else a machine does costs no method its share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from brenier.training import Clock


@contextmanager
def in_processor_seconds() -> Iterator[None]:
    """Let every fit that begins here count the seconds of this process's threads as those of its budget."""
    with mock.patch.object(Clock.__init__, "__defaults__", (time.process_time,)):
        yield
