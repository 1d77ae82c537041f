"""Physics tables: test rows are never trained on, and the scores are those of `brenier.metrics`."""

import math
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch

from benchmarks.physics import job, judge, methods, tables
from brenier import DataError
from brenier.metrics import energy_distance, median_bandwidths, mmd
from brenier.training import Clock

FLAGS = SimpleNamespace(
    minutes=0.01,
    clock="cpu",
    preset="fair",
    rows=60,
    likelihood_rows=20,
    timed=30,
    quick=True,
)


def some_rows(n: int, shift: float = 0.0, dim: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return shift + torch.randn(n, dim, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def table() -> tables.PhysicsTable:
    rows = np.sinh(some_rows(400, dim=2).numpy())
    return tables.scaled("power", rows[:200], rows[200:], "zscore")


# ---- the tables


def written(folder: Path) -> None:
    """Files like the real ones, of few rows; of POWER every value is the number of the row."""
    rng = np.random.default_rng(0)
    names = ["minute_of_day", *(feature.name for feature in tables.POWER)]
    rows = np.arange(60.0)[:, None] * np.ones(6)
    arrays = {
        "power": {
            **{"raw": rows, "columns": np.array(names)},
            **{"random_train": rows, "random_test": rows + 60},
            "random_columns": np.array(names),
        },
        "gas": {part: rng.normal(size=(30, 8)) for part in ("train", "val", "test")},
        "hepmass": {part: rng.normal(size=(30, 22)) for part in ("train", "test")},
        "miniboone": {
            "common40": rng.normal(size=(60, 40)),
            "common40_part": np.arange(60) % 3,
        },
        "bsds300": {
            part: rng.integers(0, 255, (70, 64), dtype=np.uint8)
            for part in ("train", "val", "test")
        },
    }
    for name, parts in arrays.items():
        (folder / name).mkdir()
        np.savez(folder / name / f"{name}.npz", **parts)  # type: ignore[arg-type]


@pytest.fixture
def small_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    monkeypatch.setenv("BRENIER_DATA", str(tmp_path))


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("name", tables.SETS)
def test_features_are_scaled_by_training_rows(name: str) -> None:
    table = tables.read_table(name)
    assert table.train.shape[1] == table.test.shape[1] == table.dim
    torch.testing.assert_close(
        table.train.mean(0), torch.zeros(table.dim), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(table.train.std(0, correction=0), torch.ones(table.dim))
    between = tables.read_table(name, "minmax")
    torch.testing.assert_close(between.train.amax(0), torch.ones(table.dim))
    torch.testing.assert_close(between.train.amin(0), -torch.ones(table.dim))
    ratio = (between.train[1] - between.train[0]) / (table.train[1] - table.train[0])
    expected = table.log_scale - between.log_scale
    assert float(ratio.log().sum()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("small_data")
def test_noise_stays_within_a_step_and_is_the_same_every_time() -> None:
    with np.load(tables.data_folder(None, "", "") / "power" / "power.npz") as arrays:
        rng = np.random.default_rng(0)
        train, test = tables.power(arrays, rng)
        for k, feature in enumerate(tables.POWER):
            away = train[:, k] - np.arange(60)
            assert 0 <= away.min() < away.max() <= feature.width
        assert test.min() >= 60
    again = tables.read_table("power")
    torch.testing.assert_close(again.test, tables.read_table("power").test)


def test_no_test_row_is_a_training_row(data_folder: Path) -> None:
    for name in tables.SETS:
        table = tables.read_table(name)
        own = {row.tobytes() for row in table.train.numpy()}
        assert not own & {row.tobytes() for row in table.test.numpy()}


def test_missing_data_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRENIER_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"gas.npz does not exist"):
        tables.read_table("gas")


# ---- the scores


def test_scores_are_those_of_the_library() -> None:
    x, y = some_rows(70), some_rows(90, 0.3, seed=1)
    bandwidths = median_bandwidths(x, y)
    own, other = (judge.kernel_means(rows, None, bandwidths) for rows in (x, y))
    across = judge.kernel_means(x, y, bandwidths)
    found = judge.discrepancies(own, other, across, len(x), len(y))
    assert found.mmd == pytest.approx(5 * mmd(x, y, bandwidths), rel=1e-9)
    assert found.energy == pytest.approx(energy_distance(x, y), rel=1e-6)
    assert found.published_u == pytest.approx(mmd(x, y, [0.5]), rel=1e-9)
    rows = torch.cat([x, y])
    kernel = torch.exp(-torch.cdist(rows, rows).square())
    signs = torch.tensor([1 / 70] * 70 + [-1 / 90] * 90, dtype=torch.float64)
    assert found.published_v == pytest.approx(float(signs @ kernel @ signs), rel=1e-9)


def test_the_published_score_is_its_floor_in_many_dimensions() -> None:
    of_rows = judge.Judge(some_rows(200, dim=40), 0, 100)
    numbers = of_rows.compare(lambda n, g: 3 + torch.randn(n, 40, generator=g))
    assert numbers["floor_v"] == 0.02
    assert numbers["published_v"] == pytest.approx(0.02, rel=1e-3)
    assert numbers["mmd"] > 0.1


@pytest.mark.parametrize("rows", [50, 1000])
def test_rows_of_one_law_score_zero(rows: int) -> None:
    of_rows = judge.Judge(some_rows(300), 0, rows)
    numbers = of_rows.compare(lambda n, g: torch.randn(n, 3, generator=g))
    assert numbers["rows"] == min(rows, 300)
    for name in ("mmd", "energy", "published_u"):
        assert abs(numbers[name]) < 4 * numbers[f"{name}_sd"] + 0.01


def test_latents_of_the_source_are_normal() -> None:
    good = judge.latent_numbers(some_rows(4000), 0)
    assert good["latent_mean"] < 0.06
    assert 0.9 < good["latent_variance_least"] < good["latent_variance_most"] < 1.1
    assert abs(good["latent_energy"]) < 0.005 < 0.1
    assert judge.latent_numbers(some_rows(4000, 1.0), 0)["latent_energy"] > 0.5


# ---- the methods


def test_the_affine_map_has_the_density_of_a_gaussian(
    table: tables.PhysicsTable,
) -> None:
    fitted = methods.affine(table)
    rows = table.train.double()
    law = scipy.stats.multivariate_normal(rows.mean(0), rows.mT.cov())
    assert fitted.log_density is not None
    assert fitted.backward is not None
    np.testing.assert_allclose(fitted.log_density(table.test), law.logpdf(table.test))
    latent = fitted.backward(table.train)
    torch.testing.assert_close(latent.mT.cov(), torch.eye(2).double())
    drawn = fitted.draw(100_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mT.cov(), rows.mT.cov(), atol=0.02, rtol=0)


def test_trainings_may_be_timed_by_the_process() -> None:
    with methods.CLOCKS["cpu"]():
        clock = Clock()
        time.sleep(0.2)
        assert clock.gone() < 0.1
    assert Clock().now is time.perf_counter


@pytest.mark.filterwarnings("ignore:max_time")
@pytest.mark.parametrize("name", ["default", "real", "affine", "identity"])
def test_a_method_is_measured(
    name: str, table: tables.PhysicsTable, tmp_path: Path
) -> None:
    flags = SimpleNamespace(**vars(FLAGS), results=tmp_path)
    prepared = job.Prepared(table, judge.Judge(table.test, 0, 60))
    found = job.measure(prepared, name, 0, flags)  # type: ignore[arg-type]
    assert all(math.isfinite(found[key]) for key in ("mmd", "energy", "published_v"))
    assert ("nll" in found) == ("latent_energy" in found) == (name != "real")
    assert (tmp_path / "physics-power.png").is_file() == (name == "default")
    if name == "default":
        assert found["parameters"] > 0
        assert {"generate_seconds", "inverse_seconds", "train_seconds"} <= found.keys()


def test_every_method_has_a_line_of_its_own() -> None:
    flags = job.ARGUMENTS.parse(None, ["--quick", "--preset", "published"])
    names = [choice.name for choice in job.methods(flags, job.Problem("gas", "zscore"))]
    assert len(set(names)) == len(names) >= 5
    assert flags.threads == 1
