"""The flags that all benchmarks share, and what they stand for."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.rows import RESULTS, Ledger

UNLIMITED = (
    10**9
)  # steps, or evaluations without improvement, where another budget is the limit


def make_parser(
    doc: str | None,
    dims: Sequence[int] = (),
    seeds: Sequence[int] = (0,),
    quick_dims: Sequence[int] = (),
) -> argparse.ArgumentParser:
    """Return a parser with the common flags; where time is short and nothing is said, the first of dims is taken.

    Without dims there is no such flag.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="seconds instead of minutes; rows are shown, not kept",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(seeds), metavar="SEED"
    )
    if dims:
        parser.add_argument(
            "--dims",
            type=int,
            nargs="+",
            default=None,
            metavar="D",
            help=f"default {list(dims)}",
        )
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of torch (default 2)"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="another folder for the rows"
    )
    parser.set_defaults(
        dims=None, all_dims=tuple(dims), quick_dims=tuple(quick_dims or dims[:1])
    )
    return parser


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Return the flags, `dims` filled in where nothing is said."""
    flags = parser.parse_args(arguments)
    flags.arguments = list(sys.argv[1:] if arguments is None else arguments)
    if flags.dims is None:
        flags.dims = list(flags.quick_dims if flags.quick else flags.all_dims)
    torch.set_num_threads(flags.threads)
    return flags


@contextlib.contextmanager
def open_ledger(benchmark: str, flags: argparse.Namespace) -> Iterator[Ledger]:
    """Yield where rows go: `--out`, a folder that is thrown away if `--quick`, or `results/`."""
    arguments = [
        part
        for part in flags.arguments
        if flags.out is None or part not in ("--out", str(flags.out))
    ]
    with contextlib.ExitStack() as stack:
        folder = flags.out or RESULTS
        if flags.quick and flags.out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield Ledger(benchmark, folder, arguments)
