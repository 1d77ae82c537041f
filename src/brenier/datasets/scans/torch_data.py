"""Parts of a scan that are datasets and loaders of `torch.utils.data`.

A map-style dataset, or a loader of one that goes through it in order or at random, gives its items by number. What can
only be gone through from the first item to the last is an `IterableRows`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from brenier.datasets.scans.parts import Field, array_fields, holds_single
from brenier.datasets.scans.settings import ScanSettings
from brenier.errors import DataError

# A batch of items: its entries by name, each (n,) or (n, k); and what makes it of items.
Entries: TypeAlias = dict[str, "NDArray[np.generic]"]
Collate: TypeAlias = Callable[[list[object]], object]


class Items(Protocol):
    """A map-style dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> object: ...


@dataclasses.dataclass(frozen=True)
class DatasetPart:
    """A map-style dataset.

    Attributes:
        dataset: its items by number.
        collate: makes a batch of a list of items.
        where: what it is called in messages.
        fields: the columns of its entries.
        runs: how many items there are.
        named: whether entries have names.
        tuples: whether items are tuples, of which the first entry is the row.
    """

    dataset: Items
    collate: Collate
    where: str
    fields: tuple[Field, ...]
    runs: tuple[int, ...]
    named: bool
    tuples: bool
    seekable = True

    def numbers(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> NDArray[np.generic]:
        """Return some columns of items first to last: (last - first, k)."""
        return entry_columns(self._entries(first, last), columns)

    def cells(self, run: int, first: int, last: int, column: str) -> list[Hashable]:
        """Return what is in a column of these items."""
        found = self._entries(first, last)
        if column in found:
            cells: list[Hashable] = found[column].tolist()
            return cells
        return entry_columns(found, [column])[:, 0].tolist()

    def _entries(self, first: int, last: int) -> Entries:
        """Return the entries of some items."""
        numbers = list(range(first, last))
        several = getattr(self.dataset, "__getitems__", None)
        items = several(numbers) if several else [self.dataset[i] for i in numbers]
        found = entries_of(self.collate(items), self.where)
        rows = {len(values) for values in found.values()}
        if rows != {last - first}:
            raise DataError(
                f"{self.where}: {last - first} items make batches of {sorted(rows)} rows; give one row per item"
            )
        return found


@dataclasses.dataclass(frozen=True)
class IterableRows:
    """What can only be gone through in its own order, again and again.

    Attributes:
        batches: gives batches of items when iterated.
        where: what it is called in messages.
        fields: the columns of its entries.
        named: whether entries have names.
        tuples: whether items are tuples, of which the first entry is the row.
    """

    batches: Iterable[object]
    where: str
    fields: tuple[Field, ...]
    named: bool
    tuples: bool

    def numbers(self, columns: Sequence[str]) -> Iterator[NDArray[np.generic]]:
        """Yield some columns of its rows, batch by batch, from the first to the last: (n, k)."""
        for batch in self.batches:
            yield entry_columns(entries_of(batch, self.where), columns)


def is_torch_data(given: object) -> bool:
    """Say whether something is a dataset or a loader of `torch.utils.data`."""
    return isinstance(given, Dataset | DataLoader)


def torch_part(given: object, settings: ScanSettings) -> DatasetPart | IterableRows:
    """Return the part of a scan that a dataset or a loader is.

    Raises:
        DataError: for one that is empty, or whose items are no rows.
    """
    where = type(given).__name__
    if not isinstance(given, DataLoader):
        if isinstance(given, IterableDataset):
            loader = DataLoader(given, batch_size=settings.least_piece_rows)
            return _iterable(loader, where)
        return _by_number(cast(Items, given), default_collate, where)
    dataset, collate = given.dataset, given.collate_fn
    where = f"{where} of {type(dataset).__name__}"
    plain = type(given.sampler) is SequentialSampler or (
        type(given.sampler) is RandomSampler and not given.sampler.replacement
    )
    by_number = not isinstance(dataset, IterableDataset) and plain
    if by_number and given.batch_size is not None:
        return _by_number(cast(Items, dataset), collate, where)
    return _iterable(given, where)


def _by_number(dataset: Items, collate: Collate, where: str) -> DatasetPart:
    """Return a map-style dataset as a part, its columns told from its first item."""
    try:
        size = len(dataset)
    except TypeError as error:
        raise DataError(
            f"{where}: has no length; give it a method __len__, or make it an IterableDataset"
        ) from error
    if not size:
        raise DataError(f"{where}: is empty; give a dataset with items")
    first = collate([dataset[0]])
    named, tuples = isinstance(first, Mapping), _is_tuple(first)
    fields = _entry_fields(entries_of(first, where))
    return DatasetPart(dataset, collate, where, fields, (size,), named, tuples)


def _iterable(batches: Iterable[object], where: str) -> IterableRows:
    """Return batches as they come, their columns told from the first."""
    first = next(iter(batches), None)
    if first is None:
        raise DataError(f"{where}: gives no batch; give one with items")
    named, tuples = isinstance(first, Mapping), _is_tuple(first)
    fields = _entry_fields(entries_of(first, where))
    return IterableRows(batches, where, fields, named, tuples)


def entries_of(batch: object, where: str) -> Entries:
    """Return the entries of a batch by name: those of a tuple by their place, a tensor itself as the only one.

    Raises:
        DataError: for what is no rows of numbers, or of other things.
    """
    if isinstance(batch, Mapping):
        named = {str(name): values for name, values in batch.items()}
    elif _is_tuple(batch):
        pairs = enumerate(cast(Sequence[object], batch))
        named = {str(place): values for place, values in pairs}
    else:
        named = {"": batch}
    return {name: _entry(values, name, where) for name, values in named.items()}


def _is_tuple(batch: object) -> bool:
    """Say whether a batch is made of tuples, and not a list of words, which torch makes of these."""
    words = isinstance(batch, list) and all(isinstance(each, str) for each in batch)
    return isinstance(batch, tuple | list) and not words


def _entry(values: object, name: str, where: str) -> NDArray[np.generic]:
    """Return one entry of a batch: (n,) or (n, k)."""
    what = f"entry {name!r} of its items" if name else "a batch of it"
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        if values.dtype == torch.bfloat16:
            values = values.float()
        values = values.numpy()
    if not isinstance(values, np.ndarray | list | tuple):
        raise DataError(
            f"{where}: {what} is {type(values).__name__}; give tensors or arrays, a row each"
        )
    found = np.asarray(values)
    if found.ndim not in (1, 2):
        raise DataError(
            f"{where}: {what} has shape {found.shape} with rows in front; give rows of numbers, for example flattened "
            "by flatten(1)"
        )
    return found


def _entry_fields(entries: Entries) -> tuple[Field, ...]:
    """Return the columns of all entries."""
    if list(entries) == [""]:
        only = entries[""]
        return array_fields(only.dtype, only.shape[1] if only.ndim == 2 else 1)
    fields: list[Field] = []
    for name, values in entries.items():
        number = values.dtype.kind in "fiub"
        single = number and holds_single(values.dtype)
        dtype = values.dtype.name
        if values.ndim == 1:
            fields.append(Field(name, dtype, number, single))
        else:
            names = (f"{name}[{k}]" for k in range(values.shape[1]))
            fields += [Field(own, dtype, number, single) for own in names]
    return tuple(fields)


def entry_columns(entries: Entries, columns: Sequence[str]) -> NDArray[np.generic]:
    """Return columns of entries side by side: (n, k)."""
    known: dict[str, NDArray[np.generic]] = {}
    for name, values in entries.items():
        if values.ndim == 1:
            known[name or "0"] = values
        else:
            known |= {
                f"{name}[{k}]" if name else str(k): values[:, k]
                for k in range(values.shape[1])
            }
    missing = [name for name in columns if name not in known]
    if missing:
        raise DataError(
            f"torch dataset: a batch has no {missing[0]!r}, which the first had; give items of one shape"
        )
    return np.stack([known[name] for name in columns], axis=1)
