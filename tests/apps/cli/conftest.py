"""What the tests of commands find in their working folder."""

from pathlib import Path

import numpy as np
import pandas
import pandas as pd
import pytest
import torch
from apps.cli.samples import RNG, X, Y

from brenier import OptimalTransport
from brenier.datasets import labelled, ring_classes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with samples of both sides."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("y.npy", Y)
    np.save("three.npy", RNG.normal(size=(50, 3)))
    return tmp_path


@pytest.fixture(scope="session")
def ot() -> OptimalTransport:
    """A map of two named features."""
    frames = (
        pandas.DataFrame(values, columns=["height", "weight"]) for values in (X, Y)
    )
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        *frames
    )


@pytest.fixture
def model(here: Path, ot: OptimalTransport) -> Path:
    """The saved map, in the working folder."""
    ot.save("model")
    return here / "model"


@pytest.fixture
def table(here: Path) -> pandas.DataFrame:
    """A table of text with the features among other columns, also in the file people.csv."""
    frame = pandas.DataFrame(
        {
            "id": [f"{i:04d}" for i in range(5)],
            "weight": [repr(float(value)) for value in X[:5, 1]],
            "city, country": ['Rome "IT"', "NA", "", "line\nbreak", "Köln"],
            "height": [repr(float(value)) for value in X[:5, 0]],
            "when": ["2024-02-30", "1e3", "true", "007", " x "],
        }
    )
    frame.to_csv("people.csv", index=False)
    return frame


@pytest.fixture
def rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with both sides of the horizontal swap, as tables and as .npz files."""
    monkeypatch.chdir(tmp_path)
    x, z, names = labelled(
        ring_classes("horizontal swap"), 100, torch.Generator().manual_seed(0)
    )
    for side, values in (("a", x), ("b", z)):
        pd.DataFrame(values.numpy(), columns=["u", "v"]).assign(side=names).to_csv(
            f"{side}.csv", index=False
        )
        np.savez(
            f"{side}.npz",
            points=values.numpy(),
            side=np.array([name == "left" for name in names], dtype=np.int64),
        )
    return tmp_path
