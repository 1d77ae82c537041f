"""What `brenier drift` prints: the verdict first, then what moved, then what must be known of it."""

from __future__ import annotations

from pathlib import Path

from brenier.apps.cli.console import print_json
from brenier.report import (
    DRIFT_PAGE,
    Drift,
    DriftStudy,
    basis_lines,
    distance_line,
    drift_report,
    drifted_weeks,
    feature_rows,
    moved_row_table,
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
            print(_in_words(found))
            if page is not None:
                print(f"\nReport: {page}")


def _in_words(found: Drift | DriftStudy) -> str:
    """Return what was found for people: blocks of text, the verdict first."""
    if isinstance(found, Drift):
        return "\n\n".join(filter(None, [found.verdict(), *_blocks(found)]))
    blocks = [found.verdict(), text_table(*week_rows(found.weeks))]
    told = drifted_weeks(found.weeks)
    for place in told:
        week = found.weeks[place]
        blocks += [week.verdict(), *_blocks(week)]
    drifted = sum(week.drifted for week in found.weeks)
    if len(told) < drifted:
        blocks.append(
            f"{drifted - len(told)} more drifted weeks are in the table above, and with --json in full."
        )
    shown = [found.weeks[place] for place in told]
    remarks: dict[str, list[str]] = {}
    for week in found.weeks:
        if week not in shown:
            for line in week.remarks:
                remarks.setdefault(line, []).append(week.name)
    lines = [f"{', '.join(names)}: {line}" for line, names in remarks.items()]
    return "\n\n".join(filter(None, [*blocks, "\n".join(lines)]))


def _blocks(week: Drift) -> list[str]:
    """Return what is told of a week below its verdict; some blocks may be empty."""
    return [
        distance_line(week),
        _features(week),
        _rows(week),
        "\n".join(basis_lines(week)),
    ]


def _features(week: Drift) -> str:
    """Return the table of the features at the top of the ranking; nothing where there is none."""
    most, every = DRIFT_PAGE.max_told, len(week.features)
    if not every:
        return ""
    table = text_table(*feature_rows(week, most))
    if every > most:
        table += f"\nand {every - most} more features, told with --out and --json"
    return table


def _rows(week: Drift) -> str:
    """Return the table of the rows that moved most; nothing where there are none."""
    table = moved_row_table(week, text_table)
    return (
        f"Rows that moved most (counted from 0 among those of the week):\n{table}"
        if table
        else ""
    )
