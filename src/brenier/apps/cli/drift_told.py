"""What `brenier drift` prints: the verdict first, then what moved, then what must be known of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brenier.apps.cli.console import print_json
from brenier.report import (
    DRIFT_PAGE,
    Drift,
    DriftStudy,
    TableRows,
    distance_line,
    drift_report,
    drifted_weeks,
    feature_rows,
    moved_row_table,
    said_of_weeks,
    surely_changed,
    text_table,
    week_rows,
)


def tell_drift(
    found: Drift | DriftStudy, out: Path | None, as_json: bool, title: str
) -> None:
    """Print what was found, for people or as JSON, and write the page where a folder is given."""
    page = None
    try:
        if out is not None:
            page = drift_report(out, title, found)
    finally:  # the figures are known, whatever becomes of the page
        if as_json:
            print_json(found.to_json())
        else:
            print(_all_in_words(found))
            if page is not None:
                print(f"\nReport: {page}")


def _all_in_words(found: Drift | DriftStudy) -> str:
    """Return what was found for people: blocks of text, the verdict first."""
    blocks = [found.verdict()]
    if isinstance(found, Drift):
        blocks += [distance_line(found), _feature_table(found), _moved_table(found)]
        said = said_of_weeks([found])
    else:
        blocks += [words_table(*week_rows(found.weeks)), *_drifted(found)]
        said = said_of_weeks(found.weeks)
    return "\n\n".join(filter(None, [*blocks, "\n".join(said)]))


def _drifted(study: DriftStudy) -> list[str]:
    """Return what moved in the weeks that drifted most surely."""
    blocks = []
    told = drifted_weeks(study.weeks)
    for place in told:
        week = study.weeks[place]
        changed = len(surely_changed(week))
        table = words_table(*feature_rows(week, min(changed, DRIFT_PAGE.max_told)))
        blocks.append(f"{week.verdict()}\n{table}" if changed else week.verdict())
    rest = sum(week.drifted for week in study.weeks) - len(told)
    if rest:
        blocks.append(f"{rest} more drifted weeks are told in full by --json.")
    return blocks


def _feature_table(week: Drift) -> str:
    """Return the table of the features at the top of the ranking; nothing where there is none."""
    most, every = DRIFT_PAGE.max_told, len(week.features)
    if not every:
        return ""
    table = words_table(*feature_rows(week, most))
    if every > most:
        table += f"\nand {every - most} more features, told by --out and --json"
    return table


def _moved_table(week: Drift) -> str:
    """Return the table of the rows that moved most; nothing where there are none."""
    table = moved_row_table(week, words_table)
    return (
        f"Rows that moved most (counted from 0 among those of the week):\n{table}"
        if table
        else ""
    )


def words_table(header: Sequence[str], rows: TableRows) -> str:
    """Return a table for a terminal whose last column holds words, aligned to the left.

    >>> print(words_table(["name", "p", "change"], [["a", 1, "up"], ["b", 2, "x 1.2"]]))
    name  p  change
    a     1  up
    b     2  x 1.2
    """
    lines = [list(header), *rows]
    width = max(len(str(line[-1])) for line in lines)
    first, *others = [[*line[:-1], str(line[-1]).ljust(width)] for line in lines]
    return text_table([str(cell) for cell in first], others)
