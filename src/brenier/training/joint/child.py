"""What a process does that another started to take part in training: it follows, and ends when that one ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist

from brenier.training.joint.following import follow
from brenier.training.joint.local import GROUP, HOST, PAUSE
from brenier.training.ranks import RankError, RankSettings, connected


def follow_parent() -> None:
    """Follow the process whose store and number are among the last arguments, with this one's rank and their count."""
    place = sys.argv[-4]
    rank, size, parent = map(int, sys.argv[-3:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is for the parent
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    warnings.simplefilter("ignore")  # the parent warns
    torch.set_num_threads(1)
    import brenier  # noqa: F401  (what the first task needs is there when it comes)

    store = dist.FileStore(place, size)
    store.set_timeout(timedelta(seconds=RankSettings.start_seconds))
    settings = RankSettings(**json.loads(store.get("settings")))
    store.add("ready", 1)
    try:
        ranks = connected(store, GROUP, rank, size, settings, HOST)
        follow(ranks)
    except RankError:
        os._exit(1)  # the parent has ended, or says what was lost
    except BaseException as error:
        ranks.fail(f"{type(error).__name__}: {error}")
        raise


def _end_after(parent: int) -> None:
    """End this process when its parent has ended."""
    while os.getppid() == parent:
        time.sleep(PAUSE.watch_seconds)
    os._exit(1)
