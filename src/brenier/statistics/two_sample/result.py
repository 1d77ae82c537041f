"""What a two-sample test found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TwoSampleTest:
    """Whether two samples differ by more than chance explains.

    Attributes:
        p_value: how often permuted rows differ as much, the samples themselves counted once: at most `level` in a share
            of `level` of all pairs of samples of one law, at any number of rows.
        statistic: its name.
        value: of it. "energy": the energy distance of normal scores; all others: minus the natural logarithm of the
            smallest p-value that normal theory gives any part, corrected for the number of parts.
        permutations: of the pooled rows.
        rows: used of x and of z.
        column_p_values: (d,), each adjusted for looking at all columns; None where no columns were looked at.
        level: that p-values are compared with.
        least: the smallest p-value that so many rows and permutations can give.
    """

    p_value: float
    statistic: str
    value: float
    permutations: int
    rows: tuple[int, int]
    column_p_values: Tensor | None
    level: float
    least: float

    @property
    def differs(self) -> bool:
        """Whether the samples differ at this level."""
        return self.p_value <= self.level

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns that differ by themselves, the surest first; none where the samples do not differ."""
        if self.column_p_values is None or not self.differs:
            return ()
        order = self.column_p_values.argsort(stable=True).tolist()
        return tuple(k for k in order if self.column_p_values[k] <= self.level)

    def statement(self, names: Sequence[str] | None = None, most: int = 10) -> str:
        """Return what was found in plain words; `names` are those of the columns, of which at most so many are told."""
        n, m = self.rows
        if self.least > self.level:
            return (
                f"Nothing can be said from {n:,} and {m:,} rows: even samples that have nothing in common would not be "
                f"told apart at the level {self.level:g}. No difference was shown, and none is ruled out."
            )
        facts = (
            f"p = {self.p_value:.3g}, {self.permutations:,} permutations of {n:,} and {m:,} rows, "
            f"level {self.level:g}"
        )
        if not self.differs:
            return f"No difference is shown ({facts}). A difference too small for so many rows is not ruled out."
        if self.column_p_values is None:
            return f"The samples differ ({facts})."
        told = [
            f"{names[k] if names else k} (p = {float(self.column_p_values[k]):.3g})"
            for k in self.columns
        ]
        if not told:
            return f"The samples differ ({facts}), but no column is sure to differ by itself."
        columns = "column" if len(told) == 1 else "columns"
        more = f" and {len(told) - most:,} more" if len(told) > most else ""
        listed = ", ".join(told[:most])
        return (
            f"The samples differ ({facts}), by themselves in {columns} {listed}{more}."
        )
