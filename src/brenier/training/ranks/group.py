"""A group of processes, each with its rank, that talk by `torch.distributed`.

What is said goes to all: tensors are summed over the group, or the largest is found; objects are told by the first rank
or gathered from every rank. Every rank calls the same methods in the same order. Where one has ended, or does not
answer in time, the others get a `RankError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from brenier.training.ranks import shipping
from brenier.training.ranks.patience import RankError, RankSettings

Patient = TypeVar(
    "Patient",
    dist.AllreduceOptions,
    dist.BroadcastOptions,
    dist.distributed_c10d.AllgatherOptions,
)


class Ranks:
    """The processes that train together, as one of them sees them.

    Args:
        rank: of this process, from 0.
        size: how many there are.
        group: through which they talk, or None for a process alone.
        store: where a rank leaves word of why it ends, or None.
        settings: how long they wait.
        name: of the group, which tells its parts from those of others.

    Attributes:
        folder: on a disk of this machine, where all ranks are on one; large objects go through it.
        busy: whether the others are at what the first called, and do not wait for its word.
        sent: bytes of the tensors and objects that this rank has handed over, and `messages` how often.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        group: dist.ProcessGroupGloo | None = None,
        store: dist.Store | None = None,
        settings: RankSettings = RankSettings(),  # noqa: B008
        name: str = "ranks",
    ) -> None:
        self.rank, self.size = rank, size
        self.sent = self.messages = 0
        self.folder: Path | None = None
        self.busy = False
        self._group, self._store, self._settings = group, store, settings
        self._name, self._parts = name, list[Ranks]()
        self.wait_shortly()

    def __reduce__(self) -> tuple[type[Ranks], tuple[()]]:
        return type(self), ()  # on its way to another process it is nobody's group

    @property
    def first(self) -> bool:
        """Whether this rank decides, writes and tells."""
        return self.rank == 0

    def share(self, rows: int) -> int:
        """Return how many of so many rows are this rank's; the first ranks take what is left over."""
        return rows // self.size + (self.rank < rows % self.size)

    def seed(self, seed: int, step: int) -> int:
        """Return a seed for this rank, which joins a run of that seed at a step."""
        said = f"{seed} {self.rank} {step}".encode()
        # numerical floor: seeds are below 2^63
        return int.from_bytes(hashlib.sha256(said).digest()[:7], "big")

    # ---- tensors

    def sums(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the sum of every tensor over all ranks, the same to the bit on each."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def largest(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the largest of every entry over all ranks."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def others(self, rows: Tensor) -> list[Tensor]:
        """Return the rows, of any number, that the other ranks hold, in the order of these."""
        if self.size == 1:
            return []
        found = self.gathered(rows.detach().cpu())
        own = self.rank
        return [each.to(rows) for rank, each in enumerate(found) if rank != own]

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers of the first rank."""
        if self.size == 1:
            return list(numbers)
        told = torch.tensor(list(numbers), dtype=torch.float64)
        self._broadcast(told)
        return told.tolist()

    def _reduced(self, values: Sequence[Tensor], how: object) -> list[Tensor]:
        """Return every tensor reduced over all ranks, by one message for each type."""
        if self.size == 1:
            return list(values)
        found: list[Tensor] = list(values)
        for dtype in dict.fromkeys(value.dtype for value in values):
            places = [k for k, value in enumerate(values) if value.dtype == dtype]
            flat = torch.cat([values[k].detach().reshape(-1) for k in places])
            options = self._patient(dist.AllreduceOptions())
            options.reduceOp = how  # type: ignore[assignment]
            self._count(flat)
            with self._naming_losses():
                self._known_group().allreduce([flat], options).wait()
            sizes = [values[k].numel() for k in places]
            for k, part in zip(places, flat.split(sizes), strict=True):
                found[k] = part.view_as(values[k])
        return found

    # ---- objects

    def told(self, what: object) -> Any:
        """Return what the first rank says; what others say is ignored."""
        if self.size == 1:
            return what
        content = shipping.packed(what) if self.first else b""
        (length,) = self.agree([len(content)])
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.first:
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        self._broadcast(buffer)
        return (
            what
            if self.first
            else shipping.unpacked(io.BytesIO(buffer.numpy().tobytes()))
        )

    def parcel(self, what: object) -> bytes | Path:
        """Return an object ready to be handed out by the first rank: on one machine a file, which the others map.

        Raises:
            Exception: whatever an object that cannot be sent leads to.
        """
        if self.folder is None:
            return shipping.packed(what)
        path = self.folder / f"parcel-{self.messages}.pt"
        shipping.pack_file(what, path)
        return path

    def handed_out(self, parcel: bytes | Path | None) -> Any:
        """Return the object of the first rank's parcel; that rank itself, which has the object, gets None.

        Raises:
            ValueError: on every rank, where one of them cannot make the object again.
        """
        given, found, fault = self.told(parcel), None, ""
        if not self.first:
            try:
                found = shipping.opened(given)
            except Exception as error:  # whatever what is missing there leads to
                fault = f"{type(error).__name__}: {error}"
        faults = self.gathered(fault)
        if self.first and isinstance(given, Path):
            given.unlink()  # all have mapped it
        for rank, each in enumerate(faults):
            if each:
                raise ValueError(f"rank {rank} cannot take it over ({each})")
        return found

    def gathered(self, what: object) -> list[Any]:
        """Return what every rank says, in their order."""
        if self.size == 1:
            return [what]
        content = torch.frombuffer(bytearray(shipping.packed(what)), dtype=torch.uint8)
        lengths = [torch.zeros((), dtype=torch.int64) for _ in range(self.size)]
        own = torch.tensor(len(content))
        self._count(own, content)
        with self._naming_losses():
            self._known_group().allgather(
                [lengths],
                [own],
                self._patient(dist.distributed_c10d.AllgatherOptions()),
            ).wait()
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(content)] = content
        found = [torch.empty_like(padded) for _ in range(self.size)]
        with self._naming_losses():
            self._known_group().allgather(
                [found],
                [padded],
                self._patient(dist.distributed_c10d.AllgatherOptions()),
            ).wait()
        pairs = zip(found, lengths, strict=True)
        parts = [part[: int(length)].numpy().tobytes() for part, length in pairs]
        others = [io.BytesIO(part) for part in parts]
        return [
            what if rank == self.rank else shipping.unpacked(part)
            for rank, part in enumerate(others)
        ]

    def _broadcast(self, tensor: Tensor) -> None:
        """Overwrite a tensor with that of the first rank."""
        self._count(tensor)
        options = self._patient(dist.BroadcastOptions())
        with self._naming_losses():
            self._known_group().broadcast([tensor], options).wait()

    # ---- parts of the group, and its end

    def parts(self, count: int) -> Ranks:
        """Return the part that this rank is in, where the ranks are dealt out to so many parts, neighbours together."""
        if count == 1 or self.size == 1:
            return self
        size = self.size // count
        index, rank = divmod(self.rank, size)
        if size == 1:
            return Ranks()
        name = f"{self._name}.{len(self._parts)}.{index}"
        part = connected(self._known_store(), name, rank, size, self._settings)
        self._parts.append(part)
        return part

    def wait_long(self) -> None:
        """Have the next messages wait for as long as the first rank is at work."""
        self._wait(self._settings.idle_seconds)

    def wait_shortly(self) -> None:
        """Have the next messages wait for as long as a step may take."""
        self._wait(self._settings.answer_seconds)

    def _wait(self, seconds: float) -> None:
        self._timeout = timedelta(seconds=seconds)

    def _patient(self, options: Patient) -> Patient:
        """Return options of a message that waits for so long as is usual now."""
        options.timeout = self._timeout
        return options

    def fail(self, reason: str) -> None:
        """Leave word of why this rank ends, for those that will miss it; the first word counts."""
        if self._store is not None:
            word = f"rank {self.rank}: {reason}"
            with contextlib.suppress(Exception):  # who cannot be told learns by silence
                self._store.compare_set(f"{self._name}/failed", "", word)

    def close(self) -> None:
        """Leave the group: whoever waits for this rank is told at once that it has ended."""
        self._group = None
        for part in self._parts:
            part.close()

    def _known_store(self) -> dist.Store:
        if self._store is None:
            raise RankError("the group has no store")
        return self._store

    def _known_group(self) -> Any:
        if self._group is None:
            raise RankError("this process has left the group")
        return self._group

    def _count(self, *tensors: Tensor) -> None:
        self.messages += 1
        self.sent += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @contextlib.contextmanager
    def _naming_losses(self) -> Iterator[None]:
        """Turn what the group says of a lost rank into a `RankError`, and leave, so that others see it too."""
        try:
            yield
        except RankError:
            raise
        except RuntimeError as error:
            self.close()
            raise RankError(self._word_of_failure(error)) from error

    def _word_of_failure(self, error: RuntimeError) -> str:
        """Return why a rank has ended, as far as it left word, or how it was missed."""
        fault = " ".join(str(error).split())
        if "imed out" in fault or "imeout" in fault:  # its store may not answer either
            waited = self._timeout.total_seconds()
            return (
                f"another rank than {self.rank} did not answer for {waited:g} seconds"
            )
        name = f"{self._name}/failed"
        if self._store is not None:
            with contextlib.suppress(Exception):  # its keeper may be what was lost
                if self._store.check([name]):
                    return self._store.get(name).decode()
        return f"another rank than {self.rank} has ended ({fault[:200]})"


def connected(
    store: dist.Store, name: str, rank: int, size: int, settings: RankSettings
) -> Ranks:
    """Return a group of processes on the CPU that meet at a store.

    Args:
        store: the meeting place.
        name: of the group.
        rank, size: of this process, and how many there are.
        settings: how long they wait.

    Raises:
        RankError: where not all come in time.
    """
    own = dist.PrefixStore(name, store)
    try:
        group = dist.ProcessGroupGloo(
            own, rank, size, timedelta(seconds=settings.start_seconds)
        )
    except RuntimeError as error:
        raise RankError(f"not all of {size} came together ({error})") from error
    return Ranks(rank, size, group, store, settings, name)
