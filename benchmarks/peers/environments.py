"""The environments of the peers: `.peers/<name>` in the root of the repository, made from `<name>.txt` in this folder.

    python -m benchmarks.peers.environments ott-jax     # or pot, or several

git ignores them. This library has none: it runs in the environment that runs the benchmark.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.machine import ROOT

FOLDER = ROOT / ".peers"
OWN = "brenier"
NAMES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.txt")))


def missing(name: str) -> str:
    """Return what to do about a peer that has no environment, or nothing where it has one."""
    if name == OWN or (FOLDER / name / "ready").is_file():
        return ""
    return f"{name} has no environment; make it with: python -m benchmarks.peers.environments {name}"


def python(name: str) -> Path:
    """Return the interpreter of a peer."""
    return Path(sys.executable) if name == OWN else FOLDER / name / "bin" / "python"


def make(name: str) -> None:
    """Make the environment of a peer, from nothing."""
    folder = FOLDER / name
    venv.EnvBuilder(clear=True, with_pip=True).create(folder)
    requirements = Path(__file__).with_name(f"{name}.txt")
    pip = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-r",
        str(requirements),
    ]
    subprocess.run(pip, check=True)
    (folder / "ready").touch()


def main(names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(NAMES))
    if unknown or not names:
        raise SystemExit(
            f"name one or more of {', '.join(NAMES)}"
            + (f", not {', '.join(unknown)}" if unknown else "")
        )
    for name in names:
        make(name)
        print(f"{name}: ready in {(FOLDER / name).relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
