"""The command line of a benchmark: the flags that all share, and those of its own."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

# Steps, or evaluations without improvement, where another budget is the limit.
UNLIMITED = 10**9

Flags = argparse.Namespace


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of one benchmark: its name, and what `argparse` is given."""

    name: str
    options: Mapping[str, Any]


def flag(name: str, **options: Any) -> Flag:
    """Return a flag."""
    return Flag(name, options)


def choices(
    name: str, known: Iterable[str], default: Iterable[str] | None = None
) -> Flag:
    """Return a flag that takes one or more of the known words; by default all."""
    known = tuple(known)
    chosen = known if default is None else tuple(default)
    return flag(name, nargs="+", choices=known, default=list(chosen))


def minutes_flag(default: float, text: str) -> Flag:
    """Return the flag `--minutes`, its default in words as well."""
    told = f"training time per fit (default {text})"
    return flag("--minutes", type=float, default=default, help=told)


def _accept(parser: argparse.ArgumentParser, flags: Flags) -> None:
    """Accept all flags."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The flags of a benchmark.

    Attributes:
        flags: its own.
        dims: dimensions by default; without them there is no flag `--dims`.
        seeds: by default.
        quick_dims: dimensions by default with `--quick`: the first of `dims` if not given.
        fixed: values that no flag changes.
        quick: values that replace others with `--quick`.
        check: completes the flags, or reports an error to the parser.
    """

    flags: tuple[Flag, ...] = ()
    dims: Sequence[int] = ()
    seeds: Sequence[int] = (0,)
    quick_dims: Sequence[int] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quick: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    check: Callable[[argparse.ArgumentParser, Flags], None] = _accept

    def parser(self, text: str | None) -> argparse.ArgumentParser:
        """Return the parser; the text is shown by `--help`."""
        parser = argparse.ArgumentParser(
            description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        _add_shared(parser, self.seeds)
        if self.dims:
            parser.add_argument(
                "--dims",
                type=int,
                nargs="+",
                metavar="D",
                help=f"default {list(self.dims)}",
            )
        for own in self.flags:
            parser.add_argument(own.name, **own.options)
        return parser

    def parse(self, text: str | None, arguments: Sequence[str] | None) -> Flags:
        """Return the flags, completed; `flags.arguments` is the command line."""
        parser = self.parser(text)
        flags = parser.parse_args(arguments)
        flags.arguments = list(sys.argv[1:] if arguments is None else arguments)
        if getattr(flags, "dims", None) is None:
            shorter = self.quick_dims or self.dims[:1]
            flags.dims = list(shorter if flags.quick else self.dims)
        values = dict(self.fixed)
        if flags.quick:
            values |= self.quick
        for name, value in values.items():
            setattr(flags, name, value)
        self.check(parser, flags)
        torch.set_num_threads(flags.threads)
        return flags


def _add_shared(parser: argparse.ArgumentParser, seeds: Sequence[int]) -> None:
    parser.add_argument(
        "--quick",
        action="store_true",
        help="seconds instead of minutes; rows are shown, not kept",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(seeds), metavar="SEED"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of torch (default 2)"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="another folder for the rows"
    )
    parser.add_argument(
        "--missing",
        action="store_true",
        help="measure only what has no row yet, or whose last row failed",
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=0,
        metavar="N",
        help="measure a failed row again at once, at most so often (default 0)",
    )
