"""The worker of drift tests: whether tests of other libraries call samples different, draw by draw.

    python -m benchmarks.peers.drifts FOLDER

`FOLDER/job.json` names the peer, the cell, the seed, the numbers of draws and the level; `FOLDER/answer.json` is, for
every test, one decision per draw, and the library's version. It runs in the environment of the peer.

* alibi-detect, MMD: the statistic, kernel and bandwidth of `MMDDrift`, and 100 permutations as it has by default. It
  indexes the kernel matrix anew for each permutation, 20 to 40 s a test at n = 2,000; here all permutations are one
  product of matrices, and its p-value, the share of permutations as large, is kept. On the first draw the statistic is
  compared with the one that `MMDDrift` returns.
* alibi-detect, KS: `KSDrift` with Bonferroni's correction, as it comes.
* evidently, as it comes: `DataDriftPreset`'s tests and thresholds for numerical columns, and its rule that data have
  drifted where half of the columns have.
* evidently, name: its test of this name on every column, drift where a p-value is below the level over the columns.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift_cells import Cell, draw

Decide = Callable[[np.ndarray, np.ndarray, int], bool]
PERMUTATIONS = 100
SHARE = 0.5  # of columns, in evidently's preset
ALL_PAIRS = ("alibi-detect, MMD",)  # tests whose time grows with the square of the rows


def alibi_detect(level: float) -> tuple[dict[str, Decide], str]:
    import alibi_detect
    import torch
    from alibi_detect.cd import KSDrift, MMDDrift

    torch.set_num_threads(1)

    def mmd(x: np.ndarray, z: np.ndarray, number: int) -> bool:
        x, z = x.astype(np.float32), z.astype(np.float32)
        known = {"backend": "pytorch", "p_val": level, "n_permutations": 1}
        detector = MMDDrift(x, **known)
        inner: Any = detector._detector
        matrix = inner.kernel_matrix(torch.from_numpy(x), torch.from_numpy(z))
        matrix.fill_diagonal_(0)
        n, m = len(x), len(z)
        generator = torch.Generator().manual_seed(number)
        sides = torch.zeros(n + m, PERMUTATIONS + 1)
        sides[:n, 0] = 1
        for column in range(1, PERMUTATIONS + 1):
            sides[torch.randperm(n + m, generator=generator)[:n], column] = 1
        products = matrix @ sides
        within = (sides * products).sum(0).double()
        across = products.sum(0).double() - within
        rest = matrix.sum().double() - within - 2 * across
        found = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
        if number == 0:
            theirs = detector.predict(z)["data"]["distance"]
            if abs(theirs - float(found[0])) > 1e-5:
                raise RuntimeError(f"MMD: {float(found[0])}, but MMDDrift has {theirs}")
        return float((found[0] <= found[1:]).double().mean()) < level

    def ks(x: np.ndarray, z: np.ndarray, number: int) -> bool:
        detector = KSDrift(x, p_val=level)
        return bool(detector.predict(z)["data"]["is_drift"])

    tests: dict[str, Decide] = {"alibi-detect, MMD": mmd, "alibi-detect, KS": ks}
    return tests, f"alibi-detect {alibi_detect.__version__}"


def evidently(level: float) -> tuple[dict[str, Decide], str]:
    import evidently as library
    import pandas as pd
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Numerical

    def columns(x: np.ndarray, z: np.ndarray) -> list[tuple[Any, Any]]:
        return [(pd.Series(x[:, k]), pd.Series(z[:, k])) for k in range(x.shape[1])]

    def preset(x: np.ndarray, z: np.ndarray, number: int) -> bool:
        drifted = []
        for a, b in columns(x, z):
            test = get_stattest(a, b, kind, None)
            drifted.append(bool(test(a, b, kind, None).drifted))
        return sum(drifted) >= SHARE * len(drifted)

    def named(name: str) -> Decide:
        def decide(x: np.ndarray, z: np.ndarray, number: int) -> bool:
            found = []
            for a, b in columns(x, z):
                test = get_stattest(a, b, kind, name)
                found.append(float(test(a, b, kind, level).drift_score))
            return min(found) <= level / len(found)

        return decide

    tests: dict[str, Decide] = {"evidently, as it comes": preset}
    for name in ("anderson", "t_test"):
        tests[f"evidently, {name}"] = named(name)
    return tests, f"evidently {library.__version__}"


PEERS = {"alibi-detect": alibi_detect, "evidently": evidently}
TESTS = {
    "alibi-detect": ("alibi-detect, MMD", "alibi-detect, KS"),
    "evidently": (
        "evidently, as it comes",
        "evidently, anderson",
        "evidently, t_test",
    ),
}


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    cell = Cell(*job["cell"])
    tests, version = PEERS[job["peer"]](job["level"])
    found: dict[str, list[bool]] = {name: [] for name in tests}
    for number in range(job["draws"]):
        x, z = draw(cell, job["seed"], number)
        for name, decide in tests.items():
            if name not in ALL_PAIRS or number < job["draws_of_all_pairs"]:
                found[name].append(bool(decide(x, z, number)))
    answer = {"decisions": found, "library": version}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
