"""Tables: the same cells for pages and for terminals."""

import pytest

from brenier.report.tables import format_cell, markdown_table, text_table


def test_tables_of_either_kind() -> None:
    rows = [["a|b", 1, 0.123456, None], ["c", True, float("nan"), "x"]]
    markdown = markdown_table(["name", "n", "value", "text"], rows).splitlines()
    assert markdown[0] == "| name | n | value | text |"
    assert markdown[2] == "| a\\|b | 1 | 0.1235 | – |"
    text = text_table(["name", "n", "value", "text"], rows).splitlines()
    assert len({len(line) for line in text}) == 1
    assert text[2].split() == ["c", "True", "–", "x"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "True"),
        (12345, "12345"),
        (12345.678, "1.235e+04"),
        (0.5, "0.5"),
        ("text", "text"),
    ],
)
def test_cells(value: object, cell: str) -> None:
    assert format_cell(value) == cell
