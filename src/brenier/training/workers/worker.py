"""The far end of a worker: a process that answers requests, as methods of an object that it makes.

It reads requests from its standard input and writes answers to its standard output, as pickles, until the input ends:
so it ends with the process that started it, however that ends. What is printed in it goes to standard error.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import sys
import traceback
from typing import BinaryIO

import torch

COMMAND = "from brenier.training.workers.worker import run_worker; run_worker()"


def serve(worker: object, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests, a method's name and pickled arguments each, by (True, result) or (False, what went wrong)."""
    while True:
        try:
            name, serialised = pickle.load(requests)
        except EOFError:
            return
        try:
            arguments, keywords = pickle.loads(serialised)
            answer = True, getattr(worker, name)(*arguments, **keywords)
        except Exception:
            answer = False, traceback.format_exc().strip()
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


def run_worker() -> None:
    """Serve the process that started this one, with the class whose module and name are the last two arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is for that process
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, name = sys.argv[-2:]
    worker = getattr(importlib.import_module(module), name)()
    serve(worker, sys.stdin.buffer, answers)
