"""The test of two samples: exact under one law, powerful against many changes, an answer whatever is given."""

import re

import pytest
import torch

from brenier.errors import DataError
from brenier.metrics import two_sample_test
from brenier.statistics import STATISTICS


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def mixed(n: int, seed: int) -> torch.Tensor:
    """Heavy tails, counts and one-hot columns."""
    rows = normal(n, 4, seed=seed)
    level = (rows[:, 2] > 0.5).long() + (rows[:, 2] > 1.5).long()
    one_hot = torch.nn.functional.one_hot(level, 3).double()
    return torch.cat([rows[:, :1] / rows[:, 1:2], rows[:, 3:].round(), one_hot], -1)


# ---- under one law


def assert_uniform(p: torch.Tensor, slack: float = 4.0) -> None:
    for level in (0.1, 0.2, 0.5):
        error = (level * (1 - level) / len(p)) ** 0.5
        assert float((p <= level + 1e-9).double().mean()) < level + slack * error


@pytest.mark.parametrize("statistic", STATISTICS)
def test_p_values_of_few_rows_are_exact(statistic) -> None:
    found = [
        two_sample_test(
            mixed(7, 2 * seed),
            mixed(11, 2 * seed + 1),
            statistic=statistic,
            permutations=19,
            seed=seed,
        ).p_value
        for seed in range(120)
    ]
    assert_uniform(torch.tensor(found))
    assert float(torch.tensor(found).mean()) < 0.7  # not merely careful


@pytest.mark.slow
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("n", "m", "d"), [(5, 5, 1), (40, 400, 3), (300, 200, 8)])
def test_p_values_are_uniform(statistic, n, m, d) -> None:
    found = torch.tensor(
        [
            two_sample_test(
                normal(n, d, seed=2 * seed),
                normal(m, d, seed=2 * seed + 1),
                statistic=statistic,
                permutations=39,
                max_points=100,
                seed=seed,
            ).p_value
            for seed in range(1000)
        ]
    )
    assert_uniform(found)
    if d > 1 or statistic != "pairs":
        assert abs(float((found <= 0.2 + 1e-9).double().mean()) - 0.2) < 0.06


def test_the_least_p_value_is_that_of_all_splits() -> None:
    x = normal(4, 1)
    found = two_sample_test(x, x + 100, statistic="energy", permutations=9999)
    assert found.p_value == pytest.approx(2 / 70, abs=0.007)  # 70 splits, in pairs
    assert found.least == pytest.approx(2 / 70)


def test_unchanged_columns_are_seldom_named() -> None:
    named = 0
    for seed in range(120):
        x, z = normal(2, 80, 6, seed=seed)
        z[:, 0] += 2
        found = two_sample_test(
            x, z, statistic="columns", permutations=99, seed=seed
        ).column_p_values
        assert found is not None
        assert float(found[0]) <= 0.05
        named += int((found[1:] <= 0.05).any())
    assert named / 120 < 0.05 + 3 * (0.05 * 0.95 / 120) ** 0.5


# ---- power


def shifted(x):
    x[:, 1] += 0.35


def spread(x):
    x[:, 1] *= 1.4


def faulty(x):
    x[:: len(x) // 40, 1] += 3


def correlated(x):
    x[:, 1] = 0.4 * x[:, 0] + 0.84**0.5 * x[:, 1]


def together(x):  # no column shows it, and no correlation
    x[:, 2] = x[:, 0].abs() * x[:, 2].sign()


def two_humped(x):  # mean and variance as before
    x[:, 1] = 0.95 * x[:, 1].sign() + (1 - 0.95**2) ** 0.5 * normal(len(x), seed=99)


def wild(x):
    x[:30, 1] += 1000


@pytest.mark.parametrize(
    "change", [shifted, spread, faulty, correlated, together, two_humped, wild]
)
def test_changes_of_many_kinds_are_found(change) -> None:
    found = 0
    for seed in range(10):
        x, z = normal(2, 800, 4, seed=seed)
        change(z)
        answer = two_sample_test(x, z, permutations=199, seed=seed)
        found += answer.p_value <= 0.05
        if change in (shifted, spread, two_humped):
            assert answer.columns[:1] == (1,)
    assert found >= 9


def test_groups_of_rows_keep_what_fewer_rows_lose() -> None:
    x, z = normal(2, 20_000, 3)
    z[:, 0] += 0.08
    grouped = two_sample_test(x, z, max_points=200, permutations=199)
    assert grouped.rows == (20_000, 20_000)
    assert grouped.p_value == pytest.approx(1 / 200)
    some = two_sample_test(x[:200], z[:200], permutations=199)
    assert some.p_value > 0.05


def test_a_much_larger_side_helps() -> None:
    x, z = normal(30_000, 2), normal(60, 2, seed=1) + 0.8
    found = two_sample_test(x, z, permutations=199)
    assert found.rows == (8000, 60)
    assert found.p_value == pytest.approx(1 / 200)


def test_one_hot_columns_that_change_are_named() -> None:
    generator = torch.Generator().manual_seed(0)
    chances = torch.tensor([[0.7, 0.28, 0.02], [0.7, 0.2, 0.1]])
    x, z = (
        torch.nn.functional.one_hot(
            torch.multinomial(row, 1000, replacement=True, generator=generator), 3
        )
        for row in chances
    )
    found = two_sample_test(x, z)
    assert found.p_value == pytest.approx(0.001)
    assert found.columns == (1, 2)


# ---- what does not matter


def test_units_and_monotone_changes_of_columns_do_not_matter() -> None:
    x, z = normal(2, 150, 3)
    plain = two_sample_test(x, z, permutations=99)
    moved = two_sample_test(5 + 1e6 * x, 5 + 1e6 * z, permutations=99)
    bent = two_sample_test(x.exp(), z.exp(), permutations=99)
    assert plain.p_value == moved.p_value == bent.p_value
    assert plain.value == moved.value == bent.value
    assert plain.column_p_values is not None
    assert bent.column_p_values is not None
    assert torch.equal(plain.column_p_values, bent.column_p_values)


def test_order_of_rows_and_of_samples_does_not_matter_to_the_statistic() -> None:
    x, z = normal(100, 3), normal(130, 3, seed=1)
    for statistic in ("columns", "pairs", "energy"):
        values = [
            two_sample_test(a, b, statistic=statistic, permutations=99)
            for a, b in ((x, z), (x.flip(0), z.roll(7, 0)), (z, x))
        ]
        if statistic != "energy":  # judged by its permutations
            assert values[1].value == pytest.approx(values[0].value, rel=1e-9)
            assert values[2].value == pytest.approx(values[0].value, rel=1e-9)
        assert abs(values[1].p_value - values[0].p_value) < 0.2


def test_a_seed_repeats_everything() -> None:
    x, z = normal(2, 300, 2)
    first, again = (two_sample_test(x, z, seed=3, max_points=50) for _ in range(2))
    assert first.p_value == again.p_value
    assert first.value == again.value


# ---- whatever is given


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("x", "z"),
    [
        (torch.zeros(5, 1), torch.zeros(7, 1)),
        (torch.zeros(30, 2), torch.zeros(30, 2)),
        (torch.zeros(1, 2), torch.ones(50, 2)),
        (torch.zeros(50, 2), torch.ones(1, 2)),
        (torch.zeros(2, 3), torch.ones(2, 3)),
        (torch.eye(3).repeat(10, 1), torch.eye(3).repeat(20, 1)),
        (torch.arange(40).reshape(20, 2), torch.arange(40).reshape(20, 2)),
        (1e300 * normal(20, 2), -1e300 * normal(20, 2)),
        (normal(30, 60).float(), normal(20, 60).half()),
    ],
)
def test_there_is_an_answer(statistic, x, z) -> None:
    found = two_sample_test(x, z, statistic=statistic, permutations=19)
    assert 0 < found.p_value <= 1
    assert abs(found.value) < 1e6
    if found.column_p_values is not None:
        assert found.column_p_values.shape == (x.shape[1],)
        assert bool(((found.column_p_values > 0) & (found.column_p_values <= 1)).all())
    assert (found.column_p_values is not None) == (statistic in ("auto", "columns"))
    assert "nan" not in found.statement()


def test_equal_rows_do_not_differ() -> None:
    found = two_sample_test(torch.ones(30, 2), torch.ones(40, 2))
    assert found.p_value == 1
    assert found.column_p_values is not None
    assert found.column_p_values.tolist() == [1, 1]
    assert found.statement().startswith("No difference is shown (p = 1,")


def test_one_row_says_that_nothing_can_be_said() -> None:
    found = two_sample_test(torch.ones(1, 2), 9 + normal(5000, 2))
    assert (found.p_value, found.rows) == (1.0, (1, 5000))
    assert "Nothing can be said from 1 and 5,000 rows" in found.statement()
    few = two_sample_test(normal(3, 2), 9 + normal(3, 2))
    assert not few.differs
    assert "Nothing can be said from 3 and 3 rows" in few.statement()


def test_statements_name_columns() -> None:
    x, z = normal(2, 300, 3)
    z[:, 1] += 1
    found = two_sample_test(x, z)
    assert found.differs
    assert found.statement(["a", "b", "c"]).endswith(
        "level 0.05), by themselves in column b (p = 0.001)."
    )
    many = two_sample_test(x.repeat(1, 5), x.repeat(1, 5) + 1)
    assert many.statement(most=2).endswith("and 13 more.")
    assert two_sample_test(x, z, statistic="energy").statement().endswith("0.05).")
    x, z = normal(2, 800, 3)
    together(z)
    joint = two_sample_test(x, z)
    assert joint.columns == ()
    assert joint.statement().endswith("but no column is sure to differ by itself.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"statistic": "mmd"}, "statistic: is 'mmd'; give one of auto, columns"),
        ({"permutations": 0}, "permutations: is 0; give a whole number"),
        ({"permutations": 2.5}, "permutations: is 2.5"),
        ({"permutations": 9}, "permutations: are 9, .* give at least 19"),
        ({"level": 0.01, "permutations": 98}, "give at least 99"),
        ({"level": 1.5}, "level: is 1.5; give a number between 0 and 1"),
        ({"level": float("nan")}, "level: is nan"),
        ({"max_points": 3}, "max_points: is 3; give a whole number of at least 20"),
        ({"seed": -1}, "seed: is -1"),
        ({"seed": "a"}, "seed: is 'a'"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, told) -> None:
    with pytest.raises(DataError, match=told):
        two_sample_test(normal(30, 2), normal(30, 2), **arguments)


def test_samples_that_do_not_fit_are_refused() -> None:
    x = normal(30, 2)
    with pytest.raises(DataError, match=re.escape("z: has shape (30, 1), but x has")):
        two_sample_test(x, x[:, :1])
    with pytest.raises(DataError, match="x: has shape"):
        two_sample_test(x[:, 0], x)
    with pytest.raises(DataError, match="x: has shape"):
        two_sample_test(x[:0], x)
    bad = x.clone()
    bad[4, 1] = float("nan")
    with pytest.raises(DataError, match=r"z: contains NaN or inf .* row 4, column 1"):
        two_sample_test(x, bad)
