"""Pieces of the command line that commands share: their parser, common arguments, and how values are read."""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import torch

from brenier.apps.cli.console import ExitCode
from brenier.estimators import OptimalTransport

if TYPE_CHECKING:
    from argparse import _ActionsContainer, _SubParsersAction

# What `add_subparsers` returns, and what has `add_argument`: a parser or a group of its arguments.
Commands: TypeAlias = "_SubParsersAction[CommandParser]"
Container: TypeAlias = "_ActionsContainer"

DEFAULTS = OptimalTransport().get_params()
DELIMITERS = {
    **{"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"},
    **{"blank": " ", "space": " ", "": " "},
}


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help in two columns, the first wide enough for most options."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns - 2)
        super().__init__(prog, max_help_position=26, width=width)


class CommandParser(argparse.ArgumentParser):
    """A parser whose error messages look like all others of the program."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how the command is used, and exit."""
        usage = self.format_usage().strip()
        self.exit(ExitCode.BAD_INPUT, f"error: {message}\n{usage}\n")


def program() -> list[str]:
    """Return the words that start this program."""
    if Path(sys.argv[0]).match("brenier/__main__.py"):
        return ["python", "-m", "brenier"]
    return ["brenier"]


def add_command(
    commands: Commands,
    usage: str,
    run: Callable[..., int],
    summary: str,
    example: str,
    quiet: bool = True,
) -> CommandParser:
    """Return a new command's parser, with what all commands share.

    Args:
        commands: those of the program.
        usage: the name of the command and the arguments that it needs.
        run: what it does, a function of the arguments by name that returns the exit code.
        summary: what it does in a line, for people.
        example: of a command line.
        quiet: whether it has a progress bar to leave out.
    """
    parser = commands.add_parser(
        usage.split()[0],
        usage=f"{' '.join(program())} {usage} [options]",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    text = "show the traceback of an error"
    parser.add_argument("--debug", action="store_true", help=text)
    if quiet:
        parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    return parser


def add_model(parser: CommandParser) -> None:
    """Add the folder of a saved model."""
    text = "the folder that `brenier fit` wrote"
    parser.add_argument("model", type=Path, metavar="MODEL", help=text)


def add_pair(parser: CommandParser, verb: str) -> None:
    """Add both sides' files, and how they are read."""
    text = f"samples to {verb} the map from"
    parser.add_argument("source", type=Path, metavar="SOURCE", help=text)
    text = "samples to map to, unpaired"
    parser.add_argument("target", type=Path, metavar="TARGET", help=text)
    files = parser.add_argument_group("the files")
    add_columns(files)
    text = "which array of the source's .npz file"
    files.add_argument("--source-key", metavar="NAME", help=text)
    text = "which array of the target's .npz file"
    files.add_argument("--target-key", metavar="NAME", help=text)
    add_labels(files)
    add_weights(files)
    add_dialect(files)


def add_columns(group: Container, default: str = "all numeric columns") -> None:
    """Add the choice of a table's features."""
    text = f"features of a table, in this order (default: {default})"
    group.add_argument("--columns", type=column_names, metavar="A,B,C", help=text)


def add_labels(group: Container) -> None:
    """Add the column of the labels."""
    text = "the column (array of a .npz file) of class labels: transport stays within a class"
    group.add_argument("--labels", metavar="NAME", help=text)


def add_weights(group: Container) -> None:
    """Add the columns of the weights."""
    text = "the column (array of a .npz file) of the weights of rows"
    group.add_argument("--weight", metavar="NAME", help=f"{text}, in both files")
    group.add_argument("--source-weight", metavar="NAME", help="the same, of SOURCE")
    group.add_argument("--target-weight", metavar="NAME", help="the same, of TARGET")


def add_dialect(group: Container) -> None:
    """Add how .csv files are written."""
    text = "between the fields of .csv files: comma, semicolon, tab, pipe, blank or a sign (default: found out)"
    group.add_argument("--delimiter", type=delimiter, metavar="SIGN", help=text)
    text = "the decimal sign of .csv files (default: found out)"
    group.add_argument("--decimal", choices=[".", ","], help=text)


def add_json(group: Container) -> None:
    """Add the choice of JSON."""
    group.add_argument("--json", dest="as_json", action="store_true", help="print JSON")


def add_seed(group: Container, of: str = "of everything random") -> None:
    """Add the seed."""
    text = f"{of} (default: 0)"
    group.add_argument("--seed", type=usable_seed, default=0, metavar="N", help=text)


def add_again(group: Container) -> None:
    """Add what becomes of an unfinished run."""
    again = group.add_mutually_exclusive_group()
    text = "go on with the unfinished run, or fail if there is none"
    again.add_argument("--resume", action="store_true", help=text)
    text = "discard the unfinished run; by default it is resumed"
    again.add_argument("--restart", action="store_true", help=text)


def add_setting(
    group: Container,
    flag: str,
    text: str,
    *,
    kind: Callable[[str], object] | None = None,
    choices: Iterable[str] | None = None,
    metavar: str | None = None,
    defaults: Mapping[str, object] = DEFAULTS,
) -> None:
    """Add a parameter of the estimator, left to the estimator where it is not given; its defaults are told."""
    default = defaults[flag.removeprefix("--").replace("-", "_")]
    if default is not None:
        text += f" (default: {default})"
    group.add_argument(
        flag,
        default=argparse.SUPPRESS,
        type=kind or str,
        choices=choices,
        metavar=metavar,
        help=text,
    )


def delimiter(text: str) -> str:
    """Return the sign that separates fields, given as itself or by its name.

    >>> delimiter("semicolon"), delimiter("|")
    (';', '|')
    """
    sign = DELIMITERS.get(text.lower(), text.replace("\\t", "\t"))
    if len(sign) != 1 or sign in "\"'\r\n." or sign.isalnum():
        raise argparse.ArgumentTypeError(
            f"{text!r} separates no fields; give comma, semicolon, tab, pipe, blank or one sign"
        )
    return sign


def column_names(text: str) -> list[str]:
    """Return names given as one line of CSV, so that a name in quotes may hold a comma.

    >>> column_names('"height, cm",weight')
    ['height, cm', 'weight']
    """
    row = next(csv.reader([text], skipinitialspace=True), [])
    names = [name.strip() for name in row]
    if not names or not all(names):
        raise argparse.ArgumentTypeError(
            f"{text!r} names no columns; write --columns a,b,c"
        )
    return names


def usable_seed(text: str) -> int:
    """Return a seed that every generator of random numbers takes.

    >>> usable_seed("7")
    7
    """
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no seed; give a whole number from 0 to {2**32 - 1}"
        )
    return seed


def usable_device(name: str) -> str:
    """Return the name of a device that is there."""
    try:
        torch.zeros(1, dtype=torch.float64, device=name)
    except (RuntimeError, AssertionError, TypeError) as error:
        fault = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(
            f"{name!r} is not usable here ({fault})"
        ) from error
    return name
