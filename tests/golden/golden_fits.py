"""Small fits of every kind, and a checksum of what each gives; run as a program it prints them as JSON.

It uses the public interface alone, so that it runs on this revision and on earlier ones.
Torch is told to use one thread, since another number of threads changes sums.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brenier import LBFGS, NewtonCG, OptimalTransport, load

Case = Callable[[Path], list[Any]]

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Register a function of an empty folder that returns what its checksum is taken of."""
    CASES[function.__name__] = function
    return function


def sides(rows: int, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a Gaussian sample, and another one moved by a map that is far from affine."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(rows, dim)), rng.normal(size=(rows + 100, dim))
    return x, z + 2 * np.tanh(3 * z) + 1


def fitted(potential: Any = "free", **parameters: Any) -> OptimalTransport:
    """Return an estimator that takes a few small steps."""
    told = {"max_steps": 40, "batch_size": 256, "random_state": 0, "n_networks": 1}
    return OptimalTransport(potential, **{**told, **parameters})


def found(ot: OptimalTransport, x: Any, z: Any, **condition: Any) -> list[Any]:
    """Return everything a fit gives: weights, coordinates, the record, moved points there and back."""
    record = [
        [
            value
            for name, value in row.items()
            if name not in ("seconds", "rollbacks", "setbacks")
        ]
        for row in ot.history_
    ]
    parts: list[Any] = [
        *ot.map_.network.state_dict().values(),
        *ot.map_.coordinates.tensors().values(),
    ]
    parts += [
        record,
        ot.diagnostics_["selected"],
        ot.diagnostics_["steps"],
        ot.diagnostics_["round_trip"],
    ]
    parts += [
        ot.transform(x[:200], **condition),
        ot.inverse_transform(z[:200], **condition),
    ]
    return parts


def measured(ot: OptimalTransport, *condition: Any) -> list[float]:
    """Return the figures of a distance."""
    found = ot.distance(*condition)
    return [
        found.w2,
        found.w2_error,
        found.lower,
        found.lower_error,
        found.primal,
        found.primal_error,
    ]


def plainly(
    rows: int, dim: int, potential: Any = "free", **parameters: Any
) -> list[Any]:
    """Fit without conditions, and return everything."""
    x, z = sides(rows, dim)
    ot = fitted(potential, **parameters).fit(x, z)
    middle = ot.map_.interpolate(x[:50], 0.3)
    return [*found(ot, x, z), measured(ot), ot.score(x[:300], z[:300]), middle]


def without_folder(fit: Callable[[], list[Any]], folder: Path) -> list[Any]:
    """Fit where no folder is needed."""
    return fit()


for name, fit in {
    "free": partial(plainly, 2000, 2),
    "sixteen_features": partial(plainly, 3000, 16),
    "one_feature": partial(plainly, 1000, 1),
    "convex": partial(plainly, 2000, 3, "convex"),
    "residual": partial(plainly, 2000, 3, "residual"),
    "mean_of_two": partial(plainly, 1000, 2, n_networks=2),
    "all_defaults": partial(
        plainly, 600, 2, n_networks=None, max_steps=None, batch_size=None, patience=1
    ),
    "identity_start": partial(plainly, 1000, 2, start="identity"),
    "feature_scale": partial(plainly, 1000, 3, scale="feature"),
    "float64": partial(plainly, 1000, 3, dtype="float64"),
    "few_rows": partial(plainly, 15, 2),
    "lbfgs": partial(plainly, 600, 2, method=LBFGS(), max_steps=20),
    "newton": partial(plainly, 600, 2, method=NewtonCG(), max_steps=10),
    "adam": partial(plainly, 1000, 2, optimizer=partial(torch.optim.Adam, lr=1e-3)),
    "long_run": partial(
        plainly, 100_000, 16, max_steps=5000, batch_size=16, patience=1
    ),
    "longer_run": partial(
        plainly,
        100_000,
        2,
        max_steps=10_000,
        batch_size=4,
        learning_rate=0.1,
        patience=1,
    ),
    "rolled_back": partial(
        plainly, 1000, 2, optimizer=partial(torch.optim.SGD, lr=1e6), max_steps=30
    ),
}.items():
    CASES[name] = partial(without_folder, fit)


@case
def affine_is_enough(folder: Path) -> list[Any]:
    """Two Gaussians: the network learns nothing, and the affine map is refitted."""
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(3000, 3)), 2 * rng.normal(size=(3000, 3)) - 1
    ot = fitted(max_steps=20).fit(x, z)
    return [*found(ot, x, z), measured(ot)]


@case
def labels(folder: Path) -> list[Any]:
    """One map per class."""
    x, z = sides(1500, 2)
    of_x, of_z = np.arange(len(x)) % 3, np.arange(len(z)) % 3
    z = z + of_z[:, None]
    ot = fitted().fit(x, z, source_labels=of_x, target_labels=of_z)
    return [*found(ot, x, z, labels=1), measured(ot, 2), ot.map_.at(0)(x[:20])]


@case
def labels_of_one_side(folder: Path) -> list[Any]:
    """A source that serves all classes."""
    x, z = sides(900, 2)
    of_z = [("low", "high")[row % 2] for row in range(len(z))]
    ot = fitted(n_networks=2, max_steps=20).fit(x, z, target_labels=of_z)
    return [*found(ot, x, z, labels="high"), measured(ot, "low")]


@case
def covariates(folder: Path) -> list[Any]:
    """A map at every value of one covariate."""
    x, z = sides(1500, 2)
    rng = np.random.default_rng(2)
    of_x, of_z = rng.uniform(size=len(x)), rng.uniform(size=len(z))
    z = z * (1 + of_z[:, None])
    ot = fitted().fit(x, z, source_covariates=of_x, target_covariates=of_z)
    return found(ot, x, z, covariates=[0.3])


@case
def covariates_of_one_side(folder: Path) -> list[Any]:
    """Two covariates that matter to the target alone."""
    x, z = sides(900, 2)
    of_z = np.random.default_rng(2).uniform(size=(len(z), 2))
    ot = fitted(max_steps=20).fit(x, z + of_z, target_covariates=of_z)
    return found(ot, x, z, covariates=[0.3, 0.5])


@case
def stream(folder: Path) -> list[Any]:
    """Two endless sources."""

    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    def target(n: int, generator: torch.Generator) -> torch.Tensor:
        z = torch.randn(n, 2, generator=generator)
        return z + 2 * torch.tanh(3 * z) + 1

    ot = fitted(max_steps=20).fit(source, target)
    x, z = sides(300, 2)
    return [*found(ot, x, z), measured(ot)]


@case
def memory_mapped(folder: Path) -> list[Any]:
    """Two files that are read in batches."""
    x, z = sides(2000, 3)
    for name, side in (("x", x), ("z", z)):
        np.save(folder / f"{name}.npy", side.astype(np.float32))
    mapped = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("x", "z")]
    ot = fitted().fit(*mapped)
    return [*found(ot, x, z), measured(ot)]


@case
def warm_start(folder: Path) -> list[Any]:
    """A second fit that goes on from the map of the first."""
    ot = fitted(warm_start=True, max_steps=20).fit(*sides(1000, 2))
    x, z = sides(1000, 2, seed=3)
    return found(ot.fit(x, z), x, z)


@case
def saved_and_loaded(folder: Path) -> list[Any]:
    """A model that went through a folder."""
    x, z = sides(1000, 2)
    fitted("convex", n_networks=2, max_steps=20).fit(x, z).save(folder / "model")
    ot = load(folder / "model")
    return [*found(ot, x, z), measured(ot)]


@case
def two_processes(folder: Path) -> list[Any]:
    """Networks of their own in two processes."""
    return plainly(3000, 16, n_networks=2, batch_size=1024, max_steps=15, n_jobs=2)


@case
def rows_shared_by_two_processes(folder: Path) -> list[Any]:
    """The rows of one network shared by two processes."""
    return plainly(3000, 32, batch_size=2048, max_steps=10, n_jobs=2)


def resumable(folder: str) -> OptimalTransport:
    """Fit with a checkpoint."""
    return fitted(max_steps=300, checkpoint=f"{folder}/run").fit(*sides(1000, 2))


@case
def resumed(folder: Path) -> list[Any]:
    """A fit killed on its way, and taken up again."""
    program = "import sys, torch; torch.set_num_threads(1); import golden_fits; golden_fits.resumable(sys.argv[1])"
    started = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], env=environment()
    )
    file, seen = folder / "run" / "run.pt", set[int]()
    while len(seen) < 3 and started.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            seen.add(file.stat().st_ino)
        time.sleep(0.002)
    started.send_signal(signal.SIGKILL)
    started.wait()
    if not file.exists():
        raise RuntimeError("the fit ended before it could be killed")
    ot = resumable(str(folder))
    return found(ot, *sides(1000, 2))


def command(*words: str) -> None:
    """Run the command line."""
    subprocess.run(
        [sys.executable, "-m", "brenier", *words],
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )


@case
def command_line(folder: Path) -> list[Any]:
    """Tables fitted, moved and moved back by the command line."""
    x, z = sides(1000, 2)
    for name, side in (("x", x), ("z", z)):
        np.savetxt(
            folder / f"{name}.csv",
            side,
            delimiter=",",
            header="a,b",
            comments="",
            fmt="%.17g",
        )
    names = {
        name: str(folder / name)
        for name in ("x.csv", "z.csv", "model", "moved.csv", "back.csv")
    }
    command(
        "fit",
        names["x.csv"],
        names["z.csv"],
        "--out",
        names["model"],
        "--max-steps",
        "40",
        "--quiet",
    )
    command("transport", names["model"], names["x.csv"], names["moved.csv"], "--quiet")
    command(
        "transport",
        names["model"],
        names["z.csv"],
        names["back.csv"],
        "--inverse",
        "--quiet",
    )
    ot = load(folder / "model")
    return [
        *found(ot, x, z),
        measured(ot),
        *((folder / f"{name}.csv").read_bytes() for name in ("moved", "back")),
    ]


@case
def colour(folder: Path) -> list[Any]:
    """A picture in the colours of another."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("photo", "palette"):
        Image.fromarray(rng.integers(0, 256, size=(48, 64, 3), dtype=np.uint8)).resize(
            (96, 72)
        ).save(folder / f"{name}.png")
    words = [str(folder / name) for name in ("photo.png", "palette.png")]
    command(
        "colour",
        *words,
        "--out",
        str(folder / "out.png"),
        "--max-steps",
        "30",
        "--quiet",
    )
    return [np.asarray(Image.open(folder / "out.png"))]


def environment() -> dict[str, str]:
    """Return the environment of a process that fits with one thread, from the same sources."""
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


def checksum(parts: list[Any]) -> str:
    """Return the SHA-256 of arrays, tensors, bytes, numbers and lists of numbers."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            digest.update(
                f"{part.dtype}{part.shape}".encode()
                + np.ascontiguousarray(part).tobytes()
            )
        else:
            digest.update(part if isinstance(part, bytes) else repr(part).encode())
    return digest.hexdigest()


def main(names: list[str]) -> None:
    """Print the checksums of the cases named, or of all."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sums = {}
    for name in names or CASES:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            sums[name] = checksum(CASES[name](Path(folder)))
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    print(json.dumps(sums))


if __name__ == "__main__":
    main(sys.argv[1:])
