"""Fits by class against closed forms: what a class learns alone, and what it shares with others."""

from typing import Any

import numpy as np
import pytest
import torch
from fits import quick

from brenier import DataError
from brenier.datasets import RINGS, gaussian_classes, labelled, ring_classes
from brenier.metrics import l2_uvp
from brenier.statistics.gaussian import fit_gaussian, moments, pool_covariances

N = 400


def rings(name: str, rows: int = N) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
    """Samples of a toy."""
    return labelled(ring_classes(name), rows, torch.Generator().manual_seed(0))


# ---- what is learnt


@pytest.mark.parametrize("name", RINGS)
def test_toys(name: str) -> None:
    x, z, labels = rings(name)
    ot = quick().fit(x, z, source_labels=labels, target_labels=labels)
    moved = ot.transform(x, labels)
    pairs = ring_classes(name)
    truth = torch.cat(
        [pair.forward(x[k * N : (k + 1) * N]) for k, pair in enumerate(pairs.values())]
    )
    assert l2_uvp(moved, truth, variance=float(truth.var(0).sum())) < 1
    centres = torch.stack(
        [truth[k * N : (k + 1) * N].mean(0) for k in range(len(pairs))]
    )
    nearest = torch.cdist(moved, centres).argmin(1)
    assert (nearest == torch.arange(len(x)) // N).float().mean() > 0.995
    torch.testing.assert_close(
        ot.inverse_transform(moved, labels), x, atol=1e-3, rtol=1e-3
    )


def test_a_swap_needs_its_labels() -> None:
    x, z, labels = rings("horizontal swap")
    blind = quick().fit(x, z).transform(x)
    assert (blind - x).norm(dim=-1).mean() < 0.5
    seeing = quick().fit(x, z, source_labels=labels, target_labels=labels)
    assert (seeing.transform(x, labels) - x).norm(dim=-1).mean() > 1.5
    for label in seeing.labels_ or ():
        assert abs(seeing.distance(label).w2 - 2) < 0.1
        torch.testing.assert_close(seeing.map_.at(label)(x), seeing.map_(x, label))


@pytest.mark.slow
def test_a_network_learns_what_is_not_affine_class_by_class() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 3000, 2))
    classes = np.arange(3000) % 2
    bends = [lambda v: v + 2 * np.tanh(3 * v), lambda v: v**3 / 3 + v]
    z = np.where(classes[:, None] == 0, bends[0](y), bends[1](y))
    ot = quick(max_steps=250).fit(x, z, source_labels=classes, target_labels=classes)
    assert ot.diagnostics_["selected"] == "network"
    moved = ot.transform(x, classes)
    for k in range(2):
        mine = classes == k
        truth = torch.from_numpy(bends[k](x[mine]))
        affine = ot.map_.conditions.at(torch.tensor(k))
        start = affine.decode_target(affine.encode_source(torch.from_numpy(x[mine])))
        learnt = l2_uvp(torch.from_numpy(moved[mine]), truth)
        assert learnt < 0.5 * l2_uvp(start, truth)
    back = ot.inverse_transform(moved, classes)
    assert np.median(np.abs(back - x)) < 1e-3


def test_one_source_may_serve_all_classes() -> None:
    _, z, labels = rings("four-mode ring")
    source = torch.randn(500, 2, generator=torch.Generator().manual_seed(3)) * 0.15
    ot = quick().fit(source, z, target_labels=labels)
    for k, label in enumerate(RINGS["four-mode ring"]):
        torch.testing.assert_close(
            ot.transform(source, label).mean(0),
            z[k * N : (k + 1) * N].mean(0),
            atol=0.03,
            rtol=0,
        )


def test_small_and_unbalanced_classes() -> None:
    """A class of one row has that row's place and the others' shape."""
    x, z, labels = rings("crossed ring", rows=300)
    keep = torch.cat([torch.arange(300), torch.tensor([300])])
    ot = quick().fit(
        x[keep], z, source_labels=[labels[i] for i in keep], target_labels=labels
    )
    assert set(ot.map_.held_out_distance) == {0}
    torch.testing.assert_close(
        ot.transform(x[300:301], "falling"),
        z[300:].mean(0, keepdim=True),
        atol=1e-4,
        rtol=0,
    )
    with pytest.raises(DataError, match="no samples of 'falling' were held out"):
        ot.distance("falling")


# ---- what classes share


def test_alike_classes_share_their_covariance_and_others_do_not() -> None:
    def error(alike: bool, rows: int) -> tuple[float, float]:
        pairs = gaussian_classes(8, 6, seed=1)
        samples = [
            pairs[0 if alike else k]
            .source(rows, torch.Generator().manual_seed(k))
            .double()
            for k in range(8)
        ]
        truth = [
            fit_gaussian(
                pairs[0 if alike else k].source(200_000, torch.Generator())
            ).covariance
            for k in range(8)
        ]
        own = [moments([part]) for part in samples]
        away = [
            sum(
                float((side.covariance - true).square().sum())
                for side, true in zip(found, truth, strict=True)
            )
            for found in (pool_covariances(own), own)
        ]
        return away[0], away[1]

    together, alone = error(alike=True, rows=20)
    assert together < 0.3 * alone
    together, alone = error(alike=False, rows=5000)
    assert together < 1.1 * alone
