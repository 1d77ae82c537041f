"""Compare the fits of this working tree with those of an earlier revision, bit for bit, on this machine.

    python tests/golden/compare.py                     # all fits, against the revision in BASE
    python tests/golden/compare.py --base HEAD free    # one of them, against the last commit

Checksums are made anew from both revisions, since those of one processor are not those of another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASE = (HERE / "BASE").read_text(encoding="utf-8").split()[0]


def checksums(source: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the checksums of the fits that a source folder makes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, str(HERE / "golden_fits.py"), *names],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return dict(json.loads(done.stdout))


def sources_of_revision(revision: str, folder: Path) -> Path:
    """Unpack the sources of a git revision into a folder; return where they are."""
    archive = folder / "source.tar"
    subprocess.run(
        ["git", "archive", "-o", archive, revision, "src"], cwd=ROOT, check=True
    )
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder / "src"


def checksums_of_revision(revision: str, names: Sequence[str]) -> dict[str, str]:
    """Return the checksums of the fits that a git revision makes."""
    with tempfile.TemporaryDirectory() as folder:
        return checksums(sources_of_revision(revision, Path(folder)), names)


def differences(revision: str, names: Sequence[str]) -> list[str]:
    """Return the fits that differ from those of a git revision."""
    before = checksums_of_revision(revision, names)
    after = checksums(ROOT / "src", names)
    return [name for name in before if before[name] != after[name]]


def main() -> int:
    """Print which fits differ; return one if any does."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="fits to compare (default: all)")
    parser.add_argument(
        "--base",
        default=BASE,
        help="git revision to compare with (default: the one in BASE)",
    )
    arguments = parser.parse_args()
    differ = differences(arguments.base, arguments.names)
    print(
        f"differ from {arguments.base}: {', '.join(differ)}"
        if differ
        else f"all equal to {arguments.base}"
    )
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
