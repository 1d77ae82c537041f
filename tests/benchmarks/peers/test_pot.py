"""As many rows as fit in the time."""

import pytest

from benchmarks.peers import pot


@pytest.mark.parametrize(
    ("seconds", "most", "expected"), [(1e9, 300, 300), (0.0, 300, 100), (1e9, 50, 50)]
)
def test_rows_are_doubled_while_time_lasts(
    seconds: float, most: int, expected: int
) -> None:
    found, n, _ = pot.largest(lambda n: n, 100, most, seconds)
    assert found == n == expected
