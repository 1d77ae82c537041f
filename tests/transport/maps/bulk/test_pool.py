"""Worker processes: they end with their parent, and one that is lost is told of."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest
from bulk_files import FEATURES, folder_of, frame, plain_map

from brenier import DataError
from brenier.transport.maps import bulk
from brenier.transport.maps.bulk import files, pool
from brenier.transport.maps.bulk.model import packed_model
from brenier.transport.maps.bulk.orders import BulkOrders
from brenier.transport.maps.bulk.sources import source_files
from brenier.transport.maps.storage import save_map

# Two workers at the folders of a test, as a command would be.
RUN = """
import sys
from brenier.transport.maps import bulk
print(bulk.transform("model", "in", "out", columns=["a", "b"], workers=2, quiet=True).counts.rows)
"""


def job() -> files.BulkJob:
    """A job on the features."""
    return files.BulkJob(packed_model(plain_map()), BulkOrders(columns=("a", "b")))


def test_workers_move_files_and_blocks_and_a_lost_one_is_told_of(
    tmp_path: Path,
) -> None:
    frames = folder_of(tmp_path / "in", (40, 30, 3000))
    sources = source_files(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out").mkdir()
    tasks = [(source, tmp_path / "out" / source.name) for source in sources]

    def work() -> None:
        with pool.worker_pool(job(), 2) as workers:
            found = dict(workers.files(tasks[:2]))
            assert [found[source].rows for source in sources[:2]] == [40, 30]
            through = partial(workers.blocks, sources[2].path)
            assert files.move_file(job(), *tasks[2], through).rows == 3000
            for pid in workers.processes._processes:
                processes.append(psutil.Process(pid))
                os.kill(pid, signal.SIGKILL)
            list(workers.files(tasks))

    processes = list[psutil.Process]()
    with pytest.raises(pool.WorkerLostError, match=r"lost while .*part-0\.parquet"):
        work()
    assert len(processes) == 2
    assert psutil.wait_procs(processes, timeout=10)[1] == []
    for name, table in frames.items():
        written = pd.read_parquet(tmp_path / "out" / name)
        expected = plain_map()(table[FEATURES].to_numpy())
        assert (written["a"] == expected[:, 0]).all()
        assert written["id"].tolist() == table["id"].tolist()


@pytest.mark.slow
def test_errors_of_workers_are_those_of_the_file(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (40, 30, 50, 50, 50))
    bad = frame(45)
    bad.iloc[7, bad.columns.get_loc("a")] = float("nan")
    bad.to_parquet(tmp_path / "in" / "part-9.parquet")
    with pytest.raises(DataError, match=r"part-9\.parquet: 1 of .* first is row 7"):
        bulk.transform(
            plain_map(),
            *(tmp_path / "in", tmp_path / "out"),
            columns=FEATURES,
            workers=2,
            invalid="error",
            quiet=True,
        )
    assert not (tmp_path / "out" / "part-9.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent_and_the_run_goes_on(
    signalled: signal.Signals, tmp_path: Path
) -> None:
    save_map(tmp_path / "model", plain_map(), {})
    frames = folder_of(tmp_path / "in", (20_000,) * 8)
    command = [sys.executable, "-c", RUN]
    first = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(tmp_path.glob("out/*.parquet")):
        time.sleep(0.02)
    workers = psutil.Process(first.pid).children(recursive=True)
    if signalled == signal.SIGINT:
        os.killpg(first.pid, signalled)  # as Ctrl-C does
    else:
        first.send_signal(signalled)
    _, told = first.communicate(timeout=60)
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    if signalled == signal.SIGINT:
        assert b"run the same again to go on" in told
    again = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert again.stdout.strip() == "160000"
    assert not list((tmp_path / "out").glob(".*"))
    for name, table in frames.items():
        written = pd.read_parquet(tmp_path / "out" / name)
        assert written["id"].tolist() == table["id"].tolist()
