"""Figures of maps with classes."""

from pathlib import Path

import numpy as np
import pytest
from report.plots.drawn import check_drawn

from brenier.report import plots

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("classes", [1, 3, 14])
@pytest.mark.parametrize("n", [14, 2500])
def test_class_scatter(d: int, classes: int, n: int, tmp_path: Path) -> None:
    x, z = RNG.normal(size=(n, d)), RNG.normal(size=(n + 3, d))
    x_classes, z_classes = np.arange(n) % classes, np.arange(n + 3) % classes
    labels = list(range(classes))
    path = tmp_path / "a.png"
    plots.class_scatter(x, z, 2 * x + 1, x_classes, z_classes, labels, path)
    check_drawn(path)
