"""Compare how fast this working tree is with an earlier revision, side by side in one run.

    python tests/golden/speed.py                  # against the revision in BASE
    python tests/golden/speed.py --base HEAD --rounds 9

Both take turns, each in a process of its own with one thread; the figures are medians over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import BASE, ROOT, sources_of_revision

PROGRAM = """
import json, sys, time, warnings
began = time.perf_counter()
import brenier
found = {"import, s": time.perf_counter() - began}
import numpy as np, torch
from brenier import OptimalTransport
torch.set_num_threads(1)
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
for dim in (2, 16, 64):
    x, z = rng.normal(size=(20_000, dim)), rng.normal(size=(20_000, dim))
    z = z + 2 * np.tanh(3 * z)
    ot = OptimalTransport(
        max_steps=60, n_networks=1, random_state=0, n_jobs=1, batch_size=1024
    ).fit(x, z)
    history = ot.history_
    seconds = history[-1]["seconds"] - history[0]["seconds"]
    found[f"training step, d = {dim}, ms"] = 1e3 * seconds / 60
    if dim == 16:
        many = rng.normal(size=(1_000_000, 16)).astype(np.float32)
        began = time.perf_counter()
        ot.transform(many)
        found["transform of 10^6 x 16, s"] = time.perf_counter() - began
print(json.dumps(found))
"""


def measured(source: Path) -> dict[str, float]:
    """Return the figures of a source folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the medians of both, and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default=BASE, help="git revision to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: 5)")
    arguments = parser.parse_args()
    before: list[dict[str, float]] = []
    after: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        earlier = sources_of_revision(arguments.base, Path(folder))
        for _ in range(arguments.rounds):
            before.append(measured(earlier))
            after.append(measured(ROOT / "src"))
    print("| what | before | after | ratio |\n| --- | --- | --- | --- |")
    for name in before[0]:
        old = statistics.median(row[name] for row in before)
        new = statistics.median(row[name] for row in after)
        print(f"| {name} | {old:.3g} | {new:.3g} | {new / old:.3f} |")


if __name__ == "__main__":
    main()
