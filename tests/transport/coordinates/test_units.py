"""Units of the cost by name, where they have to differ, and samples whose squares no number can hold."""

import pytest
import torch
from problems import normal, positive_definite
from torch import Tensor

from brenier import DataError, DataWarning
from brenier.transport.coordinates import CoordinateSettings, cost_units, feature_units

Pair = tuple[Tensor, Tensor]
ONE_POINT = torch.full((4, 3), 2.0).double(), torch.full((4, 3), 3.0).double()


def ordinary() -> Pair:
    """Samples of two Gaussians."""
    x = normal(60, 3) @ positive_definite(3, condition=10.0)
    return x, 1 + normal(65, 3, seed=1) @ positive_definite(3, condition=5.0, seed=2)


def with_units(units: tuple[float, ...]) -> Pair:
    """The same with every feature in a unit of its own."""
    factor = torch.tensor(units, dtype=torch.float64)
    x, z = ordinary()
    return x * factor, z * factor


def test_units_by_name() -> None:
    x, z = with_units((1.0, 100.0, 0.01))
    pooled = ((x.var(0, correction=0) + z.var(0, correction=0)) / 2).sqrt()
    torch.testing.assert_close(feature_units(x, z, "common")[0], pooled.max().expand(3))
    torch.testing.assert_close(feature_units(x, z, "feature")[0], pooled)
    given = torch.tensor([1.0, 2.0, 3.0])
    unit, mixed = feature_units(x, z, given)
    assert torch.equal(unit, given.double())
    assert not mixed


@pytest.mark.parametrize("ratio", [1e-8, 1e-3, 1.0, 1e3, 1e8])
def test_auto_units_differ_only_where_a_feature_would_be_lost(ratio: float) -> None:
    x, z = with_units((1.0, ratio, 1.0))
    unit, mixed = feature_units(x, z, "auto")
    assert mixed == (ratio in (1e-8, 1e8))
    torch.testing.assert_close(
        unit, feature_units(x, z, "feature" if mixed else "common")[0]
    )


@pytest.mark.parametrize("scale", ["common", "feature", "auto"])
def test_constant_features_and_repeated_points_have_a_unit(scale: str) -> None:
    x, z = ordinary()
    x[:, 1] = z[:, 1] = 0.3
    x[::2, 1] = 0.1 + 0.2  # the same but for rounding
    unit, mixed = feature_units(x, z, scale)
    assert unit[1] == unit.max()
    assert not mixed
    assert torch.equal(
        feature_units(*ONE_POINT, scale)[0],
        torch.ones(3, dtype=torch.float64),
    )


def test_from_where_on_a_feature_is_lost_is_a_setting() -> None:
    x, z = with_units((1.0, 1e-3, 1.0))
    for share, mixed in ((1e-4, False), (1e-2, True)):
        settings = CoordinateSettings(min_relative_scale=share)
        assert feature_units(x, z, "auto", settings)[1] == mixed


def test_units_that_had_to_differ_are_warned_about() -> None:
    x, z = with_units((1.0, 1e-8, 1.0))
    with pytest.warns(DataWarning, match=r"X, Y: feature scales differ by a factor of"):
        unit = cost_units(x, z, "auto", CoordinateSettings())
    torch.testing.assert_close(unit, feature_units(x, z, "feature")[0])
    for asked in ("common", "feature", torch.ones(3)):
        cost_units(x, z, asked, CoordinateSettings())  # as asked for: no warning


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_samples_whose_squares_are_no_numbers_are_refused(
    factor: float, side: int
) -> None:
    samples = list(ordinary())
    samples[side] = factor * samples[side]
    with pytest.raises(DataError, match=f"^{'XY'[side]}: .*give the data in other"):
        cost_units(samples[0], samples[1], "common", CoordinateSettings())
