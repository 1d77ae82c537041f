"""Fits of scans: what is streamed, what is read into memory, and runs that go on to the bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from fits import curved, quick, same, uvp, weights
from pytorch_optimizer import SOAP
from scan_files import STREAMED, InOrder
from torch.utils.data import DataLoader, TensorDataset

from brenier import DataError, DataWarning, Mahalanobis, load
from brenier.datasets import Scan, ScanSettings, scan
from brenier.training import checkpoint

ROWS = 6000
SETTINGS = ScanSettings(
    buffer_rows=1000,
    loaded_rows=0,
    pooled_rows=3000,
    least_pooled_rows=3000,
    conditioned_rows=2000,
)
RNG = np.random.default_rng(0)
SOURCE = RNG.normal(size=(ROWS, 2))
TARGET = curved(RNG.normal(size=(ROWS, 2)))


def write(folder: Path, values: np.ndarray, **columns: Any) -> Path:
    """Three files of row groups of 250 rows."""
    folder.mkdir()
    made = pandas.DataFrame(values, columns=["u", "v"]).assign(**columns)
    for place, part in enumerate(np.array_split(np.arange(len(values)), 3)):
        made.iloc[part].to_parquet(folder / f"{place}.parquet", row_group_size=250)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "source", SOURCE), write(tmp_path / "target", TARGET)


def scans(folders: tuple[Path, Path], **asked: Any) -> tuple[Scan, Scan]:
    x, z = (scan(folder, settings=SETTINGS, **asked) for folder in folders)
    return x, z


def test_a_streamed_fit_finds_the_map(folders: tuple[Path, Path]) -> None:
    ot = quick(max_steps=60).fit(*scans(folders))
    assert ot.diagnostics_["selected"] == "network"
    assert ot.feature_names_in_.tolist() == ["u", "v"]
    fresh = np.random.default_rng(1).normal(size=(2000, 2))
    named = pandas.DataFrame(fresh, columns=["u", "v"])
    moved = ot.transform(named).to_numpy(copy=True)
    affine = quick(max_steps=1).fit(SOURCE, TARGET).transform(fresh)
    assert uvp(moved, curved(fresh)) < 0.5 * uvp(affine, curved(fresh))


def test_a_small_scan_is_fitted_as_an_array_is(folders: tuple[Path, Path]) -> None:
    x, z = (scan(folder) for folder in folders)
    first, second = quick().fit(x, z), quick().fit(SOURCE, TARGET)
    assert same(weights(first), weights(second))


def test_datasets_of_torch_are_scans() -> None:
    x, z = TensorDataset(torch.from_numpy(SOURCE)), torch.from_numpy(TARGET)
    loader = DataLoader(TensorDataset(z), batch_size=100, shuffle=True)
    assert same(weights(quick().fit(x, loader)), weights(quick().fit(SOURCE, TARGET)))


def test_rows_in_their_own_order_are_streamed() -> None:
    x = scan(InOrder(3000), settings=STREAMED)
    z = scan(InOrder(2000), settings=STREAMED)
    ot = quick(max_steps=3).fit(x, z)
    assert ot.map_.coordinates.dim == 2


@pytest.mark.filterwarnings("ignore:the fitted map is wrong")  # of three steps
def test_costs_and_metrics_take_scans(folders: tuple[Path, Path]) -> None:
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    for cost in (Mahalanobis(matrix), "log_cosh"):
        ot = quick(cost=cost, max_steps=3).fit(*scans(folders))
        assert ot.map_(torch.from_numpy(SOURCE[:5])).isfinite().all()


def test_wild_rows_of_a_scan_are_left_out(tmp_path: Path) -> None:
    values = SOURCE.copy()
    values[::20] = -999.0
    x = scan(write(tmp_path / "x", values), settings=SETTINGS)
    z = scan(write(tmp_path / "z", TARGET), settings=SETTINGS)
    with pytest.warns(DataWarning, match="-999"):
        ot = quick().fit(x, z)
    assert np.abs(ot.map_.coordinates.source_mean.numpy()).max() < 1


# ---- labels, covariates and weights of columns


def test_labels_of_a_column(tmp_path: Path) -> None:
    kinds = np.where(np.arange(ROWS) % 2, "odd", "even")
    shift = np.where(np.arange(ROWS) % 2, 5.0, 0.0)[:, None]
    folders = (
        write(tmp_path / "x", SOURCE, kind=kinds),
        write(tmp_path / "z", SOURCE + shift, kind=kinds),
    )
    with pytest.warns(
        DataWarning, match=r"[XY]: .*6,000 rows, of which [12],\d{3} drawn"
    ):
        ot = quick().fit(*scans(folders, labels="kind"))
    assert set(ot.labels_ or ()) == {"odd", "even"}
    moved = ot.map_.at("odd")(torch.zeros(1, 2))
    assert moved.numpy() == pytest.approx(5.0, abs=0.5)
    whole = [scan(folder, labels="kind") for folder in folders]  # all are in memory
    given = quick().fit(
        SOURCE, SOURCE + shift, source_labels=kinds, target_labels=kinds
    )
    assert same(weights(quick().fit(*whole)), weights(given))


def test_covariates_of_columns(tmp_path: Path) -> None:
    dose = np.random.default_rng(3).uniform(size=1000)
    moved = SOURCE[:1000] + 3 * dose[:, None]
    x = scan(write(tmp_path / "x", SOURCE[:1000], dose=dose), covariates="dose")
    z = scan(write(tmp_path / "z", moved, dose=dose), covariates="dose")
    ot = quick(max_steps=5).fit(x, z)
    given = quick(max_steps=5).fit(
        *(SOURCE[:1000], moved), source_covariates=dose, target_covariates=dose
    )
    assert same(weights(ot), weights(given))


def test_weights_of_a_column(tmp_path: Path) -> None:
    # Weights turn the law into another one, whose mean is known.
    weight = np.exp(SOURCE[:, 0])
    z = SOURCE * 0.5
    x_folder = write(tmp_path / "x", SOURCE, w=weight)
    z_folder = write(tmp_path / "z", z, w=np.ones(ROWS))
    sides = scans((x_folder, z_folder), weight="w")
    ot = quick().fit(*sides)
    mean = weight @ SOURCE / weight.sum()
    found = ot.map_.coordinates.source_mean.numpy()
    np.testing.assert_allclose(found, mean, atol=0.15)
    assert found[0] > 0.7
    worth = ot.diagnostics_["effective_rows"]["source"]
    expected = weight.sum() ** 2 / (weight**2).sum()
    assert worth == pytest.approx(expected, rel=0.2)
    small = [scan(folder, weight="w") for folder in (x_folder, z_folder)]
    given = quick().fit(SOURCE, z, source_weight=weight, target_weight=np.ones(ROWS))
    assert same(weights(quick().fit(*small)), weights(given))


@pytest.mark.parametrize(
    ("asked", "given", "fault"),
    [
        (
            {"weight": "w"},
            {"source_weight": np.ones(ROWS)},
            r"source_weight: is given, and scan\(weight='w'\)",
        ),
        ({}, {"source_weight": np.ones(ROWS)}, "source_weight: one value per row"),
        ({}, {"source_labels": ["a"] * ROWS}, "source_labels: one value per row"),
        (
            {"labels": "w"},
            {"source_labels": ["a"] * ROWS},
            r"source_labels: is given, and scan\(labels='w'\)",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*drawn at random")
def test_what_is_given_twice_or_cannot_match(
    tmp_path: Path, asked: dict[str, Any], given: dict[str, Any], fault: str
) -> None:
    x = scan(
        write(tmp_path / "x", SOURCE, w=1.0),
        columns=["u", "v"],
        settings=SETTINGS,
        **asked,
    )
    with pytest.raises(DataError, match=fault):
        quick().fit(x, TARGET, **given)


def test_sides_of_other_columns_are_refused(tmp_path: Path) -> None:
    x = scan(write(tmp_path / "x", SOURCE, w=1.0), settings=SETTINGS)
    z = scan(write(tmp_path / "z", TARGET), settings=SETTINGS)
    with pytest.raises(DataError, match="Y: has 2 features, X has 3"):
        quick().fit(x, z)
    turned = scan(tmp_path / "z", columns=["v", "u"], settings=SETTINGS)
    with pytest.raises(DataError, match="Y: has the columns of X in another order"):
        quick().fit(z, turned)


def test_a_value_that_is_not_finite_ends_training_with_its_place(
    tmp_path: Path,
) -> None:
    values = SOURCE.copy()
    values[5990, 1] = np.inf
    x = scan(write(tmp_path / "x", values), settings=SETTINGS)
    with pytest.raises(DataError, match=r"2.parquet: .*row 1990 in column 'v'"):
        quick(max_steps=100).fit(x, TARGET)


# ---- runs that go on


@pytest.mark.parametrize("networks", [1, 2])
def test_an_interrupted_fit_of_scans_goes_on_to_the_bit(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    networks: int,
) -> None:
    asked: dict[str, Any] = {"max_steps": 40, "n_networks": networks}
    asked["settings"] = {"evaluate_every": 10}
    whole = quick(**asked).fit(*scans(folders))
    original, steps = SOAP.step, [0]

    def step(self: SOAP, closure: Any = None) -> Any:
        steps[0] += 1
        if steps[0] == 27:
            raise KeyboardInterrupt
        return original(self, closure)

    run = str(tmp_path / "run")
    monkeypatch.setattr(SOAP, "step", step)
    with pytest.raises(KeyboardInterrupt):
        quick(checkpoint=run, **asked).fit(*scans(folders))
    state = checkpoint.read_run(run)
    assert state is not None
    place = state["run"]["task"]["batches"][0]["draws"]
    assert place["source"]["block"] > 0
    resumed = quick(checkpoint=run, **asked).fit(*scans(folders))
    assert 27 < steps[0] < 27 + 40
    assert same(weights(whole), weights(resumed))
    assert [row["value"] for row in whole.history_] == [
        row["value"] for row in resumed.history_
    ]


PROGRAM = """
import sys
import torch
from fits import quick
from test_scanned import SETTINGS
from brenier.datasets import scan
torch.set_num_threads(1)
x, z, run, model = sys.argv[1:]
ot = quick(max_steps=120, checkpoint=run)
ot.fit(scan(x, settings=SETTINGS), scan(z, settings=SETTINGS)).save(model)
"""


@pytest.mark.slow
def test_a_killed_fit_of_scans_goes_on_to_the_bit(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here, here.parent)))
    path = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))

    def begin(name: str) -> subprocess.Popen[bytes]:
        places = [*folders, tmp_path / name, tmp_path / f"{name}-model"]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, places)],
            env={**os.environ, "PYTHONPATH": path},
        )

    assert begin("whole").wait(300) == 0
    process = begin("killed")
    file = tmp_path / "killed" / checkpoint.FILE
    while not _has_steps(tmp_path / "killed", file):
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert begin("killed").wait(300) == 0
    found = [weights(load(tmp_path / f"{name}-model")) for name in ("whole", "killed")]
    assert same(*found)


def _has_steps(folder: Path, file: Path) -> bool:
    """Whether a run has been written that has taken some steps."""
    if not file.exists():
        return False
    state = checkpoint.read_run(str(folder))
    return state is not None and state["run"]["counters"]["step"] > 0
