"""The command line: from the words of a command to its exit code. Arguments are in `arguments` and `subcommands`."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from brenier.apps.cli import commands
from brenier.apps.cli.arguments import CommandParser, HelpFormatter, program
from brenier.apps.cli.console import (
    ExitCode,
    flush_output,
    note,
    one_line_warnings,
    print_any_text,
)
from brenier.apps.cli.subcommands import add_commands
from brenier.errors import BrenierError, ConvergenceError

MAIN_EPILOG = """\
files:
  .npy and .npz arrays (n, d), .csv and .parquet tables; rows are samples
  `fit` also takes a folder, a pattern such as 'in/*.parquet', Arrow, zarr and HDF5 files, larger than memory

exit codes:
  0    done
  1    something unexpected; --debug shows where
  2    wrong usage, or a file that cannot be used; the message names it
  3    no row converged; of `drift`: the data have drifted
  130  interrupted; `fit` and `control` keep their run and say how to go on

example:
  brenier fit source.npy target.npy --out model/
  brenier transport model/ new.npy moved.npy
"""
NOT_FOR_COMMANDS = ("command", "run", "debug")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command given by arguments, those of the process by default; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    print_any_text()
    try:
        arguments = vars(_build_parser().parse_args(words))
    except SystemExit as stop:  # argparse has printed what there is to say
        return int(stop.code or ExitCode.OK)
    if arguments["run"] in (commands.fit, commands.control):
        arguments["again"] = _command_to_resume(words)
    options = {
        name: value for name, value in arguments.items() if name not in NOT_FOR_COMMANDS
    }
    with one_line_warnings():
        return int(_run_guarded(arguments["run"], options, arguments["debug"]))


def _build_parser() -> CommandParser:
    """Return the parser of the whole command line."""
    name = " ".join(program())
    parser = CommandParser(
        prog=name,
        usage=f"{name} COMMAND [options]",
        description="Optimal transport maps between two sets of samples, from one potential network.",
        epilog=MAIN_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    version = f"brenier {importlib.metadata.version('brenier')}"
    parser.add_argument("-V", "--version", action="version", version=version)
    group = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    add_commands(group)
    return parser


def _command_to_resume(words: Sequence[str]) -> str:
    """Return the command line that resumes a run that these words started."""
    kept = [word for word in words if word != "--restart"]
    return shlex.join([*program(), *kept])


def _run_guarded(
    run: Callable[..., int], options: Mapping[str, object], debug: bool
) -> int:
    """Run a command; tell what stops it in one message, and return the exit code."""
    try:
        code = run(**options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        note(f"\n{stop}" if str(stop) else "\nInterrupted.")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        flush_output()  # whose reader has closed it
        return ExitCode.UNEXPECTED
    except Exception as error:
        flush_output()  # which may be what cannot be written
        if debug:
            note(traceback.format_exc().rstrip())
        return _report_error(error, debug)


def _report_error(error: Exception, debug: bool) -> ExitCode:
    """Print an error's message; return the exit code that belongs to it."""
    about_a_file = isinstance(error, OSError) and error.filename is not None
    if isinstance(error, BrenierError) or about_a_file:
        note(f"error: {error}")
        if isinstance(error, ConvergenceError):
            return ExitCode.NOTHING_CONVERGED
        return ExitCode.BAD_INPUT
    hint = "" if debug else "; run it again with --debug to see where"
    note(f"error: unexpected {type(error).__name__}: {error}{hint}")
    return ExitCode.UNEXPECTED
