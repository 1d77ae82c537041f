"""The arguments of `brenier drift`."""

from __future__ import annotations

import argparse
from pathlib import Path

from brenier.apps.cli.arguments import (
    CommandParser,
    Commands,
    add_columns,
    add_command,
    add_dialect,
    add_json,
    column_names,
    usable_seed,
)
from brenier.apps.cli.drift import drift_command

DRIFT_EXAMPLES = """\
brenier drift reference.parquet week.parquet --out drift/
  brenier drift reference.csv week-*.csv --columns temperature,flow,machine
  brenier drift reference.csv year.csv --by week --json > weeks.json
  brenier drift reference.parquet week-1.parquet --reference-model ref/
  brenier drift ref/ week-2.parquet week-3.parquet

exit codes:
  0    no drift can be seen
  3    at least one week has drifted
  1, 2, 130  as of all commands: no answer was found (see brenier --help)"""


def add_drift(group: Commands) -> None:
    """Add the command."""
    parser = add_command(
        group,
        "drift REFERENCE WEEK [WEEK ...]",
        drift_command,
        "say whether weeks of data have drifted from a reference, by how much, and where",
        DRIFT_EXAMPLES,
    )
    text = "rows as they should be; or the folder of a saved reference"
    parser.add_argument(
        "reference", type=Path, nargs="?", metavar="REFERENCE", help=text
    )
    text = "rows to compare with them, a file for each week; all files come before or after all options"
    parser.add_argument("weeks", type=Path, nargs="+", metavar="WEEK", help=text)
    _add_files(parser)
    _add_reference(parser)
    _add_test(parser)
    output = parser.add_argument_group("output")
    text = "write a report with pictures there"
    output.add_argument("--out", type=Path, metavar="FOLDER", help=text)
    add_json(output)


def _add_files(parser: CommandParser) -> None:
    """Add how files are read, and which columns are compared."""
    group = parser.add_argument_group("the files")
    text = "the column that says which week a row is of: one WEEK file holds them all"
    group.add_argument("--by", metavar="COLUMN", help=text)
    add_columns(group, "all columns")
    text = (
        "columns that hold categories, also where they look like numbers; `none` leaves text out (default: text is "
        "categories)"
    )
    group.add_argument(
        "--categorical", type=column_names, metavar="A,B|none", help=text
    )
    text = "missing values: stop, drop their rows, or fill them in and compare how many there are (default: error)"
    group.add_argument("--missing", choices=["error", "drop", "fill"], help=text)
    text = "which array of .npz files"
    group.add_argument("--key", metavar="NAME", help=text)
    add_dialect(group)


def _add_reference(parser: CommandParser) -> None:
    """Add where a fitted reference is kept."""
    group = parser.add_argument_group("the reference, fitted once")
    text = (
        "keep the fitted reference there: made from REFERENCE the first time, used again while data and settings "
        "are the same. A single WEEK without REFERENCE is compared with what is there; for several weeks give the "
        "folder itself as REFERENCE"
    )
    group.add_argument("--reference-model", type=Path, metavar="FOLDER", help=text)


def _add_test(parser: CommandParser) -> None:
    """Add the settings of the test."""
    group = parser.add_argument_group("the test")
    later = argparse.SUPPRESS
    text = "share of false alarms, of all weeks together (default: 0.05)"
    group.add_argument("--level", type=float, default=later, metavar="X", help=text)
    text = "of rows, from which p-values are counted (default: 999)"
    group.add_argument(
        "--permutations", type=whole_number, default=later, metavar="N", help=text
    )
    text = "fit no map: the verdict alone, without W2 and the rows that moved most"
    group.add_argument("--no-map", dest="with_map", action="store_false", help=text)
    text = "seconds of wall time that fits of maps may take, about (default: a number of steps)"
    group.add_argument("--max-time", type=float, default=later, metavar="S", help=text)
    text = "of everything random (default: 0)"
    group.add_argument(
        "--seed", type=usable_seed, default=later, metavar="N", help=text
    )


def whole_number(text: str) -> int:
    """Return a whole number above zero.

    >>> whole_number("999")
    999
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no number of permutations; give a whole number such as 999"
        )
    return int(text)
