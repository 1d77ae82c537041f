"""Classes: their labels, their embeddings, and coordinates of their own for each."""

import re
from typing import Any

import pytest
import torch
from problems import normal

from brenier import DataError
from brenier.datasets import gaussian_classes
from brenier.statistics.gaussian import moments
from brenier.transport.coordinates import (
    Classes,
    aligned_coordinates,
    gaussian_coordinates,
    regularised_pair,
)
from brenier.transport.coordinates.by_class import class_embeddings
from brenier.transport.coordinates.settings import EmbeddingSettings


def classes(*labels: Any) -> Classes:
    """Classes of these labels, each with Gaussian fits of its own."""
    pairs = []
    for k in range(len(labels)):
        x, z = (1 + k) * normal(60, 3, seed=k), k + normal(70, 3, seed=100 + k)
        pairs.append(regularised_pair(moments([x]), moments([z])))
    unit = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    return Classes(tuple(labels), aligned_coordinates(pairs, unit))


# ---- labels


def test_labels_are_numbered_row_by_row() -> None:
    known = classes("a", ("b", 1), 7)
    found = known.encode_index(["a", 7, ("b", 1), 7], "labels", 4)
    assert torch.equal(found, torch.tensor([0, 2, 1, 2]))
    assert found.dtype == torch.int64
    assert known.kind == "labels"


@pytest.mark.parametrize("label", ["a", 7, ("b", 1)])
def test_one_label_serves_all_rows(label: Any) -> None:
    known = classes("a", ("b", 1), 7)
    k = known.labels.index(label)
    assert known.encode_index(label, "labels", 3).tolist() == [k] * 3
    assert known.encode_index(label, "labels", 0).tolist() == []


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "c"], "tags: 'c' not among the classes that the map was fitted on"),
        (["a"], "tags: has 1 labels for 2 rows"),
        (["a", None], "tags: the label of row 1 is missing"),
    ],
)
def test_labels_that_cannot_be_used_are_named(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        classes("a", "b").encode_index(labels, "tags", 2)


# ---- embeddings


def test_embeddings_are_apart() -> None:
    length = EmbeddingSettings().embedding_length
    for k in (2, 64, 65, 300):
        embedded = class_embeddings(k)
        away = torch.cdist(embedded, embedded) + torch.eye(k)
        assert away.min() > 0.6 * length
        torch.testing.assert_close(
            embedded.norm(dim=1), torch.full((k,), length, dtype=torch.float64)
        )


def test_embeddings_are_the_same_in_every_process() -> None:
    """A saved model relies on them: these are the numbers of 0.1."""
    assert torch.equal(class_embeddings(300), class_embeddings(300))
    assert torch.equal(class_embeddings(3), 0.2 * torch.eye(3, dtype=torch.float64))
    assert class_embeddings(64).shape == (64, 64)
    assert class_embeddings(65).shape == (65, 64)


def test_embeddings_are_settings() -> None:
    settings = EmbeddingSettings(one_hot_classes=2, embedding_length=3.0)
    found = class_embeddings(4, settings)
    assert found.shape == (4, 2)
    torch.testing.assert_close(found.norm(dim=1), 3.0 * torch.ones(4).double())


def test_rows_have_the_embeddings_of_their_classes() -> None:
    known, index = classes("a", "b", "c"), torch.tensor([2, 0, 2])
    assert torch.equal(known.embedding(index), class_embeddings(3)[index])
    assert torch.equal(known.side(index).embedding, known.embedding(index))


# ---- coordinates


def test_classes_have_the_coordinates_of_a_fit_of_their_own() -> None:
    pairs = gaussian_classes(3, 4)
    rows = [
        [
            side(500, torch.Generator().manual_seed(1)).double()
            for side in (p.source, p.target)
        ]
        for p in pairs.values()
    ]
    unit = torch.ones(4, dtype=torch.float64)
    together = aligned_coordinates(
        [regularised_pair(moments([x]), moments([z])) for x, z in rows], unit
    )
    for k, (x, z) in enumerate(rows):
        alone, mine = (
            gaussian_coordinates(x, z, unit),
            Classes((0, 1, 2), together).at(torch.tensor(k)),
        )
        torch.testing.assert_close(
            mine.decode_target(mine.encode_source(x)),
            alone.decode_target(alone.encode_source(x)),
        )


def test_a_device_changes_nothing() -> None:
    known, x = classes("a", "b"), normal(5, 3)
    index = torch.tensor([0, 1, 1, 0, 1])
    moved = known.to("cpu")
    assert moved.labels == known.labels
    assert torch.equal(
        moved.side(index).encode_source(x), known.side(index).encode_source(x)
    )
