"""What a comparison of two tables depends on, beside what its caller chooses."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class DriftSettings:
    """Numbers that a comparison of two tables depends on.

    Attributes:
        sample_rows: rows of a table that tests and displacements use, at most: drawn without replacement. A shift of
            one of 20 columns by .02 standard deviations is still seen in so many.
        sample_cells: numbers of such a sample, at most: where columns are many it has fewer rows.
        max_levels: categories of a column, at most; a column of more names rows rather than kinds of them.
        max_level_share: categories of a column per row, at most, likewise,
        few_levels: where there are more than so many.
        kept_levels: categories that are looked at one by one; rarer ones are taken together.
        least_impurity: the chance that two rows of the reference differ in a category is taken to be at least this in
            the scale of the category, which would be very large where nearly all rows are alike.
        wild: standard deviations per quartile range of a normal law of the same quartiles, from which on a column has
            wild rows, and the quartile range is its scale.
        quantiles: levels of the quantiles in summaries.
        bars: of a summary, over the range of the bulk of the reference,
        bulk: a share of rows beyond which, at either end, is not the bulk,
        margin: widened by this share of it at either end.
        halvings: ways to halve a reference by which the noise of distances of columns is measured, with
        noise_rows: rows of a half, at most.
        grid: quantiles by which the distance of two columns is measured.
        map_rows: rows of a side that a map is fitted to, at most.
        inverse_rows: rows of the current table that are looked at for those that moved most, at most.
        least_map_rows: rows of either side that a map needs, and
        map_rows_per_column: rows for each column of the encoded table.
        most_map_columns: of the encoded table, beyond which no map is fitted unless asked for.
        many_tables: tables beyond which maps are fitted only where drift is seen, unless they are asked for.
        step_columns: training steps times columns, within
        least_steps, most_steps: these numbers of steps. With fewer columns maps bend more easily.
        map_time_share: of `max_time` that is for fits of maps.
        moved_rows: that are named, at most.
        moved_features: that are named for a row, at most.
        told_features: features in a verdict, at most.
    """

    sample_rows: int = 200_000
    sample_cells: int = 10_000_000
    max_levels: int = 1000
    max_level_share: float = 0.5
    few_levels: int = 20
    kept_levels: int = 20
    least_impurity: float = 0.1
    wild: float = 3.0
    quantiles: tuple[float, ...] = (
        *(0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5),
        *(0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99, 1.0),
    )
    bars: int = 30
    bulk: float = 0.005
    margin: float = 0.25
    halvings: int = 10
    noise_rows: int = 10_000
    grid: int = 1000
    map_rows: int = 200_000
    inverse_rows: int = 20_000
    least_map_rows: int = 100
    map_rows_per_column: int = 5
    most_map_columns: int = 100
    many_tables: int = 12
    step_columns: int = 1500
    least_steps: int = 60
    most_steps: int = 300
    map_time_share: float = 0.8
    moved_rows: int = 20
    moved_features: int = 3
    told_features: int = 3

    def steps(self, columns: int) -> int:
        """Return the training steps of a map of so many columns."""
        steps = self.step_columns // max(1, columns)
        return min(self.most_steps, max(self.least_steps, steps))


DRIFT = DriftSettings()
