"""The command line: parsing and exit codes. What the commands do is in `brenier.apps.cli.commands`."""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from brenier.apps.cli import commands
from brenier.apps.cli.console import (
    BAD_INPUT,
    INTERRUPTED,
    NOTHING_CONVERGED,
    UNEXPECTED,
    note,
    one_line_warnings,
)
from brenier.apps.colour import SPACES
from brenier.apps.colour.demo import demo
from brenier.apps.colour.palette import EVENNESS
from brenier.errors import BrenierError, ConvergenceError
from brenier.estimators import POTENTIALS, OptimalTransport

MAIN_EPILOG = """\
files:
  .npy and .npz arrays (n, d), .csv and .parquet tables; rows are samples

exit codes:
  0    done
  1    something unexpected; --debug shows where
  2    wrong usage, or a file that cannot be used; the message names it
  3    no row converged
  130  interrupted; `fit` keeps its run and says how to go on

example:
  brenier fit source.npy target.npy --out model/
  brenier transport model/ new.npy moved.npy
"""
DEFAULTS = OptimalTransport().get_params()
NOT_FOR_COMMANDS = ("command", "run", "debug")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command given by arguments, those of the process by default; return its exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = vars(_parser().parse_args(given))
    except SystemExit as stop:  # argparse has said what there is to say
        return int(stop.code or 0)
    if arguments["run"] is commands.fit:
        arguments["again"] = shlex.join(
            [*_program(), *(word for word in given if word != "--restart")]
        )
    options = {
        name: value for name, value in arguments.items() if name not in NOT_FOR_COMMANDS
    }
    with one_line_warnings():
        return _guarded(arguments["run"], options, arguments["debug"])


def _guarded(run: Callable[..., int], options: dict[str, Any], debug: bool) -> int:
    """Run a command; tell what stops it in one message, and return the exit code."""
    try:
        code = run(**options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        note(f"\n{stop}" if str(stop) else "\nInterrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _tell(error, debug)


def _tell(error: Exception, debug: bool) -> int:
    """Print an error's message; return the exit code that belongs to it."""
    expected = isinstance(error, BrenierError) or (
        isinstance(error, OSError) and error.filename is not None
    )
    if expected:
        note(f"error: {error}")
        return NOTHING_CONVERGED if isinstance(error, ConvergenceError) else BAD_INPUT
    hint = "" if debug else "; run it again with --debug to see where"
    note(f"error: unexpected {type(error).__name__}: {error}{hint}")
    return UNEXPECTED


def _program() -> list[str]:
    """Return the words that start this program."""
    started = Path(sys.argv[0])
    return (
        ["python", "-m", "brenier"]
        if started.match("brenier/__main__.py")
        else ["brenier"]
    )


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help in two columns, the first wide enough for most options."""

    def __init__(self, prog: str) -> None:
        super().__init__(
            prog,
            max_help_position=26,
            width=min(100, shutil.get_terminal_size().columns - 2),
        )


class _Parser(argparse.ArgumentParser):
    """A parser whose faults look like all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"error: {message}\n{self.format_usage().strip()}\n")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog=" ".join(_program()),
        usage=f"{' '.join(_program())} COMMAND [options]",
        description="Optimal transport maps between two sets of samples, from one potential network.",
        epilog=MAIN_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"brenier {importlib.metadata.version('brenier')}",
    )
    commands_ = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for add in (
        _add_fit,
        _add_transport,
        _add_evaluate,
        _add_info,
        _add_colour,
        _add_demo,
    ):
        add(commands_)
    return parser


def _command(
    group: Any,
    usage: str,
    run: Callable[..., int],
    summary: str,
    example: str,
    quiet: bool = True,
) -> argparse.ArgumentParser:
    """Return a new command's parser, with what all commands share."""
    parser = group.add_parser(
        usage.split()[0],
        usage=f"{' '.join(_program())} {usage} [options]",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )
    if quiet:
        parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    return parser


def _add_fit(group: Any) -> None:
    summary = "learn the map from one file's samples to another's, with a report"
    parser = _command(
        group,
        "fit SOURCE TARGET --out FOLDER",
        commands.fit,
        summary,
        "brenier fit source.npy target.npy --out model/",
    )
    _add_pair(parser, "fit")
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where model and report go",
    )
    run.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of everything random (default: 0)",
    )
    again = run.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="go on with the unfinished run, or fail if there is none",
    )
    again.add_argument(
        "--restart",
        action="store_true",
        help="discard the unfinished run; by default it is resumed",
    )
    model = parser.add_argument_group("the map")
    _setting(
        model,
        "--potential",
        "convex: one inverse, a certain bound; free: often closer",
        choices=POTENTIALS,
    )
    _setting(
        model,
        "--n-networks",
        "whose mean is the potential (default: as many as pay)",
        type=int,
        metavar="N",
    )
    _setting(
        model, "--start", "the map training starts from", choices=["affine", "identity"]
    )
    _setting(
        model,
        "--scale",
        "what one unit of cost is in each feature",
        choices=["auto", "common", "feature"],
    )
    training = parser.add_argument_group("training")
    _setting(
        training,
        "--tol",
        "bound on the residual of inner problems",
        type=float,
        metavar="X",
    )
    _setting(
        training,
        "--max-steps",
        "training steps at most (default: 3000, fewer for few rows, or as --max-time allows)",
        type=int,
        metavar="N",
    )
    _setting(
        training, "--max-time", "training seconds at most", type=float, metavar="S"
    )
    _setting(
        training,
        "--n-jobs",
        "processes, -1 for one per core (default: as many as pay)",
        type=int,
        metavar="N",
    )
    _setting(
        training, "--batch-size", "rows of either side per step", type=int, metavar="N"
    )
    _setting(
        training,
        "--learning-rate",
        "at the start; it decays to zero",
        type=float,
        metavar="X",
    )
    _setting(
        training,
        "--patience",
        "evaluations without progress before it stops",
        type=int,
        metavar="N",
    )
    _setting(training, "--device", "where to train, for example cuda", type=_device)
    _setting(
        training, "--dtype", "precision of the network", choices=["float32", "float64"]
    )


def _add_transport(group: Any) -> None:
    summary = "move the rows of a file with a saved map"
    example = "brenier transport model/ new.csv moved.csv --columns height,weight"
    parser = _command(
        group, "transport MODEL INPUT OUTPUT", commands.transport, summary, example
    )
    _add_model(parser)
    parser.add_argument(
        "input",
        type=Path,
        metavar="INPUT",
        help="rows to move; other columns of a table are kept",
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUTPUT",
        help="where they go; the suffix names the kind of file",
    )
    how = parser.add_argument_group("which way").add_mutually_exclusive_group()
    how.add_argument(
        "--inverse", action="store_true", help="move target rows back to the source"
    )
    how.add_argument(
        "--interpolate",
        type=float,
        metavar="T",
        help="stop on the way: 0 is x, 1 is T(x)",
    )
    data = parser.add_argument_group("the file")
    _add_columns(data, "those of the model")
    data.add_argument("--key", metavar="NAME", help="which array of a .npz file")
    _add_labels(data)


def _add_evaluate(group: Any) -> None:
    summary = "measure a saved map on samples, beside simpler maps"
    example = (
        "brenier evaluate model/ source_test.npy target_test.npy --out evaluation/"
    )
    parser = _command(
        group,
        "evaluate MODEL SOURCE TARGET",
        commands.evaluate,
        summary,
        example,
        quiet=False,
    )
    _add_model(parser)
    _add_pair(parser, "evaluate")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write a report with plots there"
    )
    _add_json(output)
    output.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the rows that are drawn (default: 0)",
    )


def _add_info(group: Any) -> None:
    summary = "print what a saved map is and what is certified about it"
    parser = _command(
        group,
        "info MODEL",
        commands.info,
        summary,
        "brenier info model/ --json",
        quiet=False,
    )
    _add_model(parser)
    _add_json(parser)


def _add_colour(group: Any) -> None:
    summary = "grade a photograph with the colours of another"
    example = "brenier colour photo.jpg palette.jpg --out moved.jpg --strength 0.7"
    parser = _command(
        group, "colour PHOTO PALETTE --out FILE", commands.colour, summary, example
    )
    parser.add_argument(
        "photo", type=Path, metavar="PHOTO", help="the photograph to grade"
    )
    parser.add_argument(
        "palette",
        type=Path,
        metavar="PALETTE",
        help="the picture whose colours it takes",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the graded photograph goes",
    )
    output.add_argument(
        "--inverse-out",
        type=Path,
        metavar="FILE",
        help="the palette's picture, graded back",
    )
    output.add_argument(
        "--model", type=Path, metavar="FOLDER", help="save the map there"
    )
    output.add_argument(
        "--report", type=Path, metavar="FOLDER", help="write a report with plots there"
    )
    look = parser.add_argument_group("the look")
    look.add_argument(
        "--strength",
        type=float,
        default=1.0,
        metavar="X",
        help="from 0 to 1, the default: all the way",
    )
    look.add_argument(
        "--space",
        choices=SPACES,
        default="oklab",
        help="where colours are compared (default: oklab)",
    )
    text = f"0: every pixel counts alike, plain areas dominate; 1: every colour does (default: {EVENNESS})"
    look.add_argument(
        "--evenness", type=float, default=EVENNESS, metavar="X", help=text
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--max-steps",
        type=int,
        default=1000,
        metavar="N",
        help="training steps (default: 1000)",
    )
    training.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of everything random (default: 0)",
    )


def _add_demo(group: Any) -> None:
    summary = "grade one of two example photographs with the other, with a report"
    parser = _command(group, "demo", demo, summary, "brenier demo --out demo/")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="FOLDER",
        help="default: demo/",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="train for seconds only, to see that it works",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="the folder that `brenier fit` wrote"
    )


def _add_pair(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add both sides' files, and how they are read."""
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help=f"samples to {verb} the map from"
    )
    parser.add_argument(
        "target", type=Path, metavar="TARGET", help="samples to map to, unpaired"
    )
    data = parser.add_argument_group("the files")
    _add_columns(data)
    data.add_argument(
        "--source-key", metavar="NAME", help="which array of the source's .npz file"
    )
    data.add_argument(
        "--target-key", metavar="NAME", help="which array of the target's .npz file"
    )
    _add_labels(data)


def _add_columns(group: Any, default: str = "all numeric columns") -> None:
    text = f"features of a table, in this order (default: {default})"
    group.add_argument("--columns", type=_names, metavar="A,B,C", help=text)


def _add_labels(group: Any) -> None:
    text = "the column (array of a .npz file) of class labels: transport stays within a class"
    group.add_argument("--labels", metavar="NAME", help=text)


def _add_json(group: Any) -> None:
    group.add_argument("--json", dest="as_json", action="store_true", help="print JSON")


def _setting(group: Any, flag: str, text: str, **options: Any) -> None:
    """Add a parameter of the estimator, left to the estimator where it is not given."""
    default = DEFAULTS[flag.removeprefix("--").replace("-", "_")]
    shown = "" if default is None else f" (default: {default})"
    group.add_argument(flag, default=argparse.SUPPRESS, help=text + shown, **options)


def _names(text: str) -> list[str]:
    """Return names given as one line of CSV, so that a name may hold a comma in quotes."""
    names = [
        name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])
    ]
    if not all(names) or not names:
        raise argparse.ArgumentTypeError(
            f"{text!r} names no columns; write --columns a,b,c"
        )
    return names


def _device(name: str) -> str:
    """Return the name of a device that is there."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(
            f"{name!r} is not usable here ({str(error).splitlines()[0]})"
        ) from error
    return name
