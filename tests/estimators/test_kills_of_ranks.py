"""Whichever rank is killed, and whenever: the run ends as one that nobody disturbed, and no process is left."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]
LOG = logging.getLogger(__name__)

# Says who takes part, and at the end what came of it; tries again where another rank was lost.
PROGRAM = """
import hashlib, os, sys
import torch
from fits import PAIR, quick, weights
from brenier.training import LocalRanks, RankError

folder, jobs = sys.argv[1], sys.argv[2]
told = {"max_steps": 150, "checkpoint": folder + "/run"}
note = open(folder + "/pids", "a")
print(os.getpid(), file=note, flush=True)
start = LocalRanks._start

def noted(self):
    start(self)
    print(*(child.pid for child in self._children), sep="\\n", file=note, flush=True)

LocalRanks._start = noted
if jobs == "local":
    told |= {"n_jobs": 2, "settings": {"process_work": 1}}
else:
    told |= {"n_jobs": None}
while True:
    try:
        ot = quick(**told).fit(*PAIR)
        break
    except RankError as error:
        print(error.reason, file=sys.stderr)
        if jobs != "local":
            sys.exit(1)
digest = hashlib.sha256()
for name, value in sorted(weights(ot).items()):
    digest.update(name.encode() + value.numpy().tobytes())
rank = os.environ.get("RANK", "0")
with open(f"{folder}/end-{rank}", "w") as file:
    file.write(f"{ot.diagnostics_['processes']} {digest.hexdigest()}")
"""


def environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[1]), *sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
    }


def started(folder: Path, how: str) -> subprocess.Popen[bytes]:
    """A fit by two ranks, kept in a folder."""
    script = folder / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, str(script), str(folder), how]
    if how == "launched":
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        launcher += ["--nproc-per-node", "2", "--max-restarts", "9"]
        launcher += ["--monitor-interval", "0.1"]
        command[1:1] = launcher
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(command, env=environment(), stdout=said, stderr=said)


def pids(folder: Path) -> list[int]:
    """All that took part so far, in the order in which they came."""
    file = folder / "pids"
    if not file.exists():
        return []
    return [int(word) for word in file.read_text(encoding="utf-8").split()]


def alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def ends(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("end-*"))]


def undisturbed(folder: Path, how: str) -> tuple[list[str], float]:
    """How a fit ends, and how many seconds it takes from when its ranks come."""
    folder.mkdir()
    process = started(folder, how)
    while len(pids(folder)) < 2:
        time.sleep(0.01)
        assert process.poll() is None
    began = time.perf_counter()
    assert process.wait(600) == 0, (folder / "said").read_text(encoding="utf-8")
    return ends(folder), time.perf_counter() - began


def disturbed(folder: Path, how: str, moments: random.Random, needed: float) -> int:
    """Kill one rank of a fit at some moment, and see it to its end; return whether there was one to kill."""
    folder.mkdir()
    process = started(folder, how)
    while len(pids(folder)) < 2:
        time.sleep(0.01)
    time.sleep(moments.uniform(0, needed))
    victim = pids(folder)[-2:][moments.randrange(2)]
    killed = alive(victim) and not (folder / "end-0").exists()
    if killed:
        os.kill(victim, signal.SIGKILL)
    status = process.wait(600)
    if victim == process.pid and killed:
        assert status == -signal.SIGKILL
        process = started(folder, how)
        status = process.wait(600)
    assert status == 0, (folder / "said").read_text(encoding="utf-8")
    return int(killed)


@pytest.mark.parametrize(("kills", "seed"), [(3, 0), (50, 1)], ids=["short", "full"])
@pytest.mark.parametrize("how", ["local", "launched"])
def test_the_end_is_that_of_an_undisturbed_run(
    how: str, kills: int, seed: int, tmp_path: Path
) -> None:
    expected, needed = undisturbed(tmp_path / "whole", how)
    assert expected[0].startswith("2 ")
    assert len(set(expected)) == 1
    moments, done, tries = random.Random(seed), 0, 0
    while done < kills:
        folder = tmp_path / str(tries)
        tries += 1
        done += disturbed(folder, how, moments, needed)
        # One that was killed after its training is taken up by the first rank alone.
        assert {each.split()[1] for each in ends(folder)} == {expected[0].split()[1]}
        until = time.monotonic() + 60
        while any(map(alive, pids(folder))) and time.monotonic() < until:
            time.sleep(0.1)
        assert not any(map(alive, pids(folder)))
        LOG.info(f"{how}: {done} of {kills} kills, {tries} runs")
    LOG.info(f"{how}: {done} kills in {tries} runs")
