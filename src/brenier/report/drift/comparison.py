"""One table against a reference: the test, the distance, the features and the rows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from brenier.datasets import CATEGORY, EMPTY, MixedTable
from brenier.metrics import TwoSampleTest, two_sample_test
from brenier.report.drift.encoding import Encoded, encoded_pair
from brenier.report.drift.maps import (
    MapOptions,
    TableMap,
    map_between,
    most_moved,
)
from brenier.report.drift.margins import margin_distances, noise_power, scaled_noise
from brenier.report.drift.reading import ReadRows, read_rows, rows_kept
from brenier.report.drift.reference import DriftReference
from brenier.report.drift.result import Drift, FeatureDrift, MovedRow
from brenier.report.drift.rules import ColumnRule
from brenier.report.drift.settings import DRIFT
from brenier.report.drift.words import change_in_words, constant_in_words, rows_told

TINY = 1e-12  # numerical floor: noise that a displacement is divided by


@dataclasses.dataclass(frozen=True)
class ComparisonOptions:
    """How tables are tested.

    Attributes:
        level: share of false alarms.
        permutations: of rows.
        seed: of permutations, and of rows drawn.
    """

    level: float = 0.05
    permutations: int = 999
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Compared:
    """What is known of a comparison, for what is said of features and rows.

    Attributes:
        reference: the reference.
        active: of its features, those that are compared.
        rows: of the current table.
        pair: both tables encoded, with columns of what is new; only active features have columns.
        test: of these, or None where there is nothing to test.
        fitted: the map, or None.
    """

    reference: DriftReference
    active: tuple[int, ...]
    rows: ReadRows
    pair: Encoded
    test: TwoSampleTest | None
    fitted: TableMap | None

    @property
    def rules(self) -> list[ColumnRule]:
        """The rules of the active features."""
        return [self.reference.rules[place] for place in self.active]

    @property
    def can_tell(self) -> bool:
        """Whether a test of so many rows can find anything."""
        return self.test is not None and self.test.least <= self.test.level


def compare(
    reference: DriftReference,
    table: MixedTable,
    name: str,
    tests: ComparisonOptions,
    maps: MapOptions,
) -> Drift:
    """Return what is found where a table is compared with a reference.

    Args:
        reference: with the noise of maps, where maps are wanted.
        table: the current one.
        name: of it.
        tests, maps: how it is compared.

    Raises:
        DataError: where columns of the table differ from those of the reference, or cells cannot be used.
    """
    matched = reference.layout.match(table)
    told = _new_values(reference, matched)
    matched = reference.layout.of_kinds(matched, reference.rules)
    used = list(dict.fromkeys(rule.column for rule in reference.rules))
    kept = rows_kept(matched, used, reference.missing)
    generator = torch.Generator().manual_seed(tests.seed)
    rows = read_rows(matched, reference.rules, kept, generator)
    active, left_out = _active(reference, rows)
    found, remarks = _compared(reference, rows, active, tests, maps, generator)
    test_told = found.test is not None and found.can_tell
    p_value = found.test.p_value if found.test is not None and test_told else None
    drifted = p_value is not None and p_value <= tests.level
    moved, more = _moved_rows(found, generator) if drifted else ((), ())
    return Drift(
        name=name,
        rows=(reference.rows, rows.rows),
        p_value=p_value,
        adjusted_p_value=p_value,
        level=tests.level,
        test=found.test,
        distance=None if found.fitted is None else found.fitted.distance,
        features=_ranked_features(found),
        moved_rows=moved,
        left_out={**reference.left_out, **left_out},
        remarks=(*reference.remarks, *told, *remarks, *more),
        missing=(reference.dropped, rows.dropped),
        encoding=reference.encoding,
    )


def _compared(
    reference: DriftReference,
    rows: ReadRows,
    active: tuple[int, ...],
    tests: ComparisonOptions,
    maps: MapOptions,
    generator: torch.Generator,
) -> tuple[Compared, list[str]]:
    """Return the test and the map of a table, and what must be known of them."""
    rules = [reference.rules[place] for place in active]
    x, z = reference.sample[:, active], rows.values[:, active]
    pair = encoded_pair(rules, x, z, with_new=True)
    if not len(z) or not pair.x.shape[1]:
        reason = "no feature varies" if len(z) else "the current table has no rows"
        told = f"Nothing can be said: {reason}."
        return Compared(reference, active, rows, pair, None, None), [told]
    test = two_sample_test(
        pair.x,
        pair.z,
        level=tests.level,
        permutations=tests.permutations,
        seed=tests.seed,
    )
    found = Compared(reference, active, rows, pair, test, None)
    remarks = _row_remarks(found)
    if maps.wanted is False:
        return found, remarks
    if maps.drifted_only and test.p_value > test.level:
        told = "No map was fitted, since tables are many and no drift is seen in this one; ask for it with map_=True."
        return found, [*remarks, told]
    plain = encoded_pair(rules, x, z, with_new=False)
    fitted = map_between(plain, maps, generator)
    if isinstance(fitted, str):
        return found, [*remarks, fitted]
    # Near zero both figures are noise.
    if test.p_value <= test.level and fitted.distance.contradiction is not None:
        remarks.append(
            f"Displacements under the map are rough: they are {fitted.distance.primal:.2g} in all, where W2 is "
            f"{fitted.distance.w2:.2g}, since the map does not bring the reference quite to the current table."
        )
    return dataclasses.replace(found, fitted=fitted), remarks


def _new_values(reference: DriftReference, table: MixedTable) -> list[str]:
    """Return a remark for each column that was empty in the reference and no longer is."""
    compared = {rule.column for rule in reference.rules}
    return [
        f"Column {column.name!r} had no values in the reference and now has some; it was not compared."
        for column in table.columns
        if column.name not in compared
        and column.kind != EMPTY
        and "missing" in reference.left_out.get(column.name, "")
    ]


def _active(
    reference: DriftReference, rows: ReadRows
) -> tuple[tuple[int, ...], dict[str, str]]:
    """Return the places of the features that can be compared, and why others cannot."""
    active, left_out = [], {}
    for place, rule in enumerate(reference.rules):
        if not rule.constant or rule.has_new(rows.values[:, place]):
            active.append(place)
        elif not rule.tells_missing:
            value = _constant_of(rule)
            left_out[rule.name] = f"is always {value}, in the reference and now"
    return tuple(active), left_out


def _constant_of(rule: ColumnRule) -> str:
    """Return the only value that a feature has in the reference, as text."""
    return repr(rule.levels[0]) if rule.kind == CATEGORY else f"{rule.centre:g}"


def _row_remarks(found: Compared) -> list[str]:
    """Return what must be known of how many rows were tested."""
    test = found.test
    n, m = found.reference.rows, found.rows.rows
    remarks = []
    if test is not None and not found.can_tell:
        remarks.append(
            f"With {n:,} and {rows_told(m)} no test at the level {test.level:g} can find anything: even tables that "
            "have nothing in common could not be told apart. No drift was shown, and none is ruled out."
        )
    looked = len(found.pair.x), len(found.pair.z)
    if looked != (n, m):
        smallest = 4 * math.sqrt(1 / looked[0] + 1 / looked[1])
        remarks.append(
            f"Tested were {looked[0]:,} of {n:,} rows of the reference and {looked[1]:,} of {m:,} current ones, drawn "
            f"by chance: a shift of a feature by less than about {smallest:.2g} standard deviations may go unseen."
        )
    return remarks


def _ranked_features(found: Compared) -> tuple[FeatureDrift, ...]:
    """Return what is found of each feature, ranked."""
    reference, rows = found.reference, found.rows
    displacements, floors = _moved_by(found)
    p_values = _feature_p_values(found)
    features = []
    for k, place in enumerate(found.active):
        rule, now = reference.rules[place], rows.summaries[place]
        if rule.constant:
            values = rows.values[:, place]
            differing = int((values != rule.centre).sum())
            change = constant_in_words(_constant_of(rule), differing, len(values))
        else:
            change = change_in_words(rule.summary, now)
        features.append(
            FeatureDrift(
                name=rule.name,
                kind=rule.kind,
                displacement=displacements[k],
                noise_floor=floors[k],
                p_value=p_values[k],
                change=change,
                reference=rule.summary,
                current=now,
            )
        )
    return tuple(sorted(features, key=_rank))


def _rank(feature: FeatureDrift) -> tuple[float, float]:
    """Return by what features are sorted: the surest change first, of equally sure ones the largest over its noise."""
    p = 1.0 if feature.p_value is None else feature.p_value
    size = feature.displacement or 0.0
    return p, -size / max(feature.noise_floor or 0.0, TINY)


def _feature_p_values(found: Compared) -> list[float | None]:
    """Return the p-value of each active feature: the smallest of its columns, which are adjusted over all columns."""
    test, count = found.test, len(found.active)
    if test is None or test.column_p_values is None or not found.can_tell:
        return [None] * count
    smallest = torch.ones(count, dtype=torch.float64)
    values = test.column_p_values.double()
    smallest = smallest.scatter_reduce(0, found.pair.owners, values, "amin")
    found_values: list[float | None] = list(smallest.tolist())
    return found_values


def _moved_by(found: Compared) -> tuple[list[float | None], list[float | None]]:
    """Return by how much each active feature moved, and by how much it would if nothing had changed."""
    rules, reference = found.rules, found.reference
    if not len(found.rows.values):
        nothing: list[float | None] = [None] * len(rules)
        return nothing, nothing
    x, z = reference.sample[:, found.active], found.rows.values[:, found.active]
    moved: list[float | None] = list(margin_distances(rules, x, z))
    noise, rows = reference.margins, (len(x), len(z))
    floors = [
        scaled_noise(noise.moved[place], noise.half, rows, noise_power(rule))
        for place, rule in zip(found.active, rules, strict=True)
    ]
    if found.fitted is None:
        return moved, floors
    plain = encoded_pair(rules, x[:1], z[:1], with_new=False)
    under_map = plain.of_features(found.fitted.moved, len(rules)).tolist()
    for k, (place, rule) in enumerate(zip(found.active, rules, strict=True)):
        if rule.constant:
            continue
        moved[k], floors[k] = under_map[k], None
        if reference.mapped is not None:
            size = reference.mapped.floor(place)
            floors[k] = scaled_noise(size, reference.mapped.half, found.fitted.rows, 0.5)  # fmt: skip
    return moved, floors


def _moved_rows(
    found: Compared, generator: torch.Generator
) -> tuple[tuple[MovedRow, ...], tuple[str, ...]]:
    """Return which rows of the current table moved most, and what must be known of them."""
    if found.fitted is None:
        return (), ()
    rules = found.rules
    x, z = found.reference.sample[:1, found.active], found.rows.values[:, found.active]
    plain = encoded_pair(rules, x, z, with_new=False)
    best = most_moved(found.fitted, plain.z, generator)
    if best is None:
        return (), ("Which rows moved most could not be told.",)
    rows = tuple(
        _moved_row(int(found.rows.numbers[place]), moved, plain, rules)
        for place, moved in zip(best.places.tolist(), best.moved, strict=True)
    )
    if best.looked == found.rows.rows:
        return rows, ()
    return rows, (
        f"The rows that moved most are those of {best.looked:,} rows drawn by chance.",
    )


def _moved_row(
    number: int, moved: torch.Tensor, pair: Encoded, rules: list[ColumnRule]
) -> MovedRow:
    """Return one row that moved, with the features that moved it most."""
    sizes = pair.of_features(moved[None], len(rules)).tolist()
    signs = np.ones(len(rules))
    for column, owner in enumerate(pair.owners.tolist()):
        if rules[owner].kind != CATEGORY:
            signs[owner] = math.copysign(1.0, float(moved[column]))
    order = sorted(range(len(rules)), key=lambda place: -sizes[place])
    told = {
        rules[place].name: float(signs[place]) * sizes[place]
        for place in order[: DRIFT.moved_features]
        if sizes[place] > 0
    }
    return MovedRow(number, float(moved.square().sum().sqrt()), told)
