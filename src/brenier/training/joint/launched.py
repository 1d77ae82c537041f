"""Ranks that a launcher started, this process among them: `torchrun`, Slurm's `srun`, or who sets the same variables.

A launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT is taken at its word, and within a step of Slurm that
has several tasks, SLURM_PROCID and SLURM_STEP_NUM_TASKS say the same. All processes meet at a store, once, and every
fit is a group of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
from datetime import timedelta

import torch
import torch.distributed as dist

from brenier.training.ranks import RankError, Ranks, RankSettings, connected

_fit_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where this process stands among those that were started together.

    Attributes:
        rank, size: its number, and how many there are.
        local: its number among those of its machine.
        address, port: where the first rank keeps the store.
    """

    rank: int
    size: int
    local: int
    address: str
    port: int


@dataclasses.dataclass(frozen=True)
class MeetingSettings:
    """Where processes meet that Slurm started, unless MASTER_ADDR and MASTER_PORT say it.

    Attributes:
        first_port, ports: a job takes one of so many ports, by its number, so that two on a machine hardly ever meet.
    """

    first_port: int = 29_500
    ports: int = 1_000


MEETING = MeetingSettings()


def launched(settings: RankSettings | None = None) -> Ranks | None:
    """Return a new group of the processes started with this one, or None where it was started alone.

    Every process has to ask for the same groups in the same order.

    Args:
        settings: how long they wait for each other.

    Raises:
        RankError: where they do not meet in time, or the port is in use.
    """
    place = place_of_process()
    if place is None:
        return None
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local % torch.cuda.device_count())
    settings = settings or RankSettings()
    store = _store(settings.start_seconds)
    name = f"fit-{next(_fit_numbers)}"
    return connected(store, name, place.rank, place.size, settings)


def place_of_process() -> Place | None:
    """Return where this process stands among those started together, or None where it was started alone."""
    said = os.environ
    if said.get("WORLD_SIZE", "1") != "1" and "RANK" in said:
        size, local = said["WORLD_SIZE"], said.get("LOCAL_RANK", said["RANK"])
        return _place_said(said["RANK"], size, local, said.get("MASTER_ADDR"))
    if said.get("SLURM_STEP_NUM_TASKS", "1") != "1" and "SLURM_PROCID" in said:
        size, local = said["SLURM_STEP_NUM_TASKS"], said.get("SLURM_LOCALID", "0")
        return _place_said(said["SLURM_PROCID"], size, local, _first_host())
    return None


def _place_said(rank: str, size: str, local: str, address: str | None) -> Place:
    """Return the place that some variables say."""
    port = os.environ.get("MASTER_PORT")
    if port is None:
        job = int(os.environ.get("SLURM_JOB_ID", "0"))
        port = str(MEETING.first_port + job % MEETING.ports)
    try:
        numbers = [int(word) for word in (rank, size, local, port)]
    except ValueError as error:
        raise RankError(f"the launcher's variables are no numbers ({error})") from error
    own, every, here, meeting = numbers
    return Place(own, every, here, address or "127.0.0.1", meeting)


def _first_host() -> str:
    """Return the first machine of a step of Slurm: node07 of node[07-12,14], n3-ib of n[3-4]-ib."""
    given = os.environ.get("MASTER_ADDR")
    if given:
        return given
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST")
    if not nodes:
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    first = re.match(r"([^\[,]+)(?:\[(\w+)[^\]]*\]([^,]*))?", nodes)
    return nodes if first is None else "".join(filter(None, first.groups()))


@functools.cache
def _store(seconds: float) -> dist.Store:
    """Return the store at which the processes meet; one for all fits of this process."""
    place = place_of_process()
    if place is None:
        raise RankError("this process was started alone")
    patience = timedelta(seconds=seconds)
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    try:
        store = dist.TCPStore(
            place.address,
            place.port,
            place.size,
            is_master=place.rank == 0 and not agent,
            timeout=patience,
            multi_tenant=True,  # beside a default group that the user made there
        )
    except RuntimeError as error:
        raise RankError(_why_no_store(place, error)) from error
    # An agent keeps its store when it starts its processes anew.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return dist.PrefixStore(f"brenier/{attempt}", store)


def _why_no_store(place: Place, error: RuntimeError) -> str:
    """Return in words why processes do not meet."""
    where = f"{place.address}:{place.port}"
    fault = " ".join(str(error).split())
    if "EADDRINUSE" in fault or "address already in use" in fault:
        return f"port {place.port} of the first rank is in use; set MASTER_PORT to a free one"
    return f"rank {place.rank} of {place.size} found not all others at {where} ({fault[:200]})"
