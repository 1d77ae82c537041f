"""Maps given a condition: fits with labels and with covariates against closed forms."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fits import quick
from problems import normal

from brenier import ConditionalMap, DataError, DataWarning, load
from brenier.datasets import RINGS, CovariateGaussians, labelled, ring_classes
from brenier.metrics import l2_uvp

N = 400


# ---- fits with labels


def rings(name: str, rows: int = N) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
    """Samples of a toy."""
    return labelled(ring_classes(name), rows, torch.Generator().manual_seed(0))


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
        torch.testing.assert_close(seeing.map_.at(label)(x), seeing.transform(x, label))


def test_how_many_rows_are_moved_at_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row has matrices of its own: those of all rows together may be larger than memory."""
    x, z, labels = rings("four-mode ring", 50)
    whole = quick(max_steps=5).fit(x, z, source_labels=labels, target_labels=labels)
    monkeypatch.setattr("brenier.transport.coordinates.conditioned.GATHERED", 4 * 7)
    parts = quick(max_steps=5).fit(x, z, source_labels=labels, target_labels=labels)
    torch.testing.assert_close(parts.transform(x, labels), whole.transform(x, labels))
    torch.testing.assert_close(
        parts.inverse_transform(z, labels), whole.inverse_transform(z, labels)
    )


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


def test_classes_of_one_side_are_left_out_with_a_warning() -> None:
    x, z, labels = rings("horizontal swap")
    more = torch.cat([x, x[:5] + 9])
    with pytest.warns(DataWarning, match="only one side has 'new'"):
        ot = quick().fit(
            more, z, source_labels=[*labels, *["new"] * 5], target_labels=labels
        )
    assert ot.labels_ == ("left", "right")
    with pytest.raises(
        DataError,
        match="labels: 'new' not among the classes that the map was fitted on",
    ):
        ot.transform(x, "new")


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


def test_saved_and_loaded(tmp_path: Path) -> None:
    x, z, labels = rings("horizontal swap")
    coded: list[Any] = [(label, 1) if label == "left" else 7 for label in labels]
    ot = quick().fit(x, z, source_labels=coded, target_labels=coded)
    ot.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.labels_ == (("left", 1), 7)
    assert torch.equal(again.transform(x, coded), ot.transform(x, coded))
    assert again.distance(7) == ot.distance(7)


def test_labels_that_cannot_be_saved(tmp_path: Path) -> None:
    x, z, labels = rings("horizontal swap")
    odd = [frozenset([label]) for label in labels]
    ot = quick().fit(x, z, source_labels=odd, target_labels=odd)
    with pytest.raises(DataError, match="is a frozenset, which cannot be saved"):
        ot.save(tmp_path / "model")


def test_an_interrupted_fit_with_labels_is_resumed_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brenier.estimators import pipeline as learning

    x, z, labels = rings("crossed ring")
    z = z + 0.3 * torch.tanh(8 * z)
    told = {"source_labels": labels, "target_labels": labels}
    whole = quick(max_steps=60).fit(x, z, **told)

    class StopError(Exception):
        pass

    save = learning.checkpoint.save_run

    def stop(folder: str, run: Any, mark: str, seed: int) -> None:
        save(folder, run, mark, seed)
        if run.step >= 40:
            raise StopError

    monkeypatch.setattr(learning.checkpoint, "save_run", stop)
    with pytest.raises(StopError):
        quick(max_steps=60, checkpoint=str(tmp_path)).fit(x, z, **told)
    monkeypatch.setattr(learning.checkpoint, "save_run", save)
    resumed = quick(max_steps=60, checkpoint=str(tmp_path)).fit(x, z, **told)
    assert torch.equal(resumed.transform(x, labels), whole.transform(x, labels))


def test_warm_start_needs_the_same_classes() -> None:
    x, z, labels = rings("horizontal swap")
    ot = quick(warm_start=True).fit(x, z, source_labels=labels, target_labels=labels)
    ot.fit(x, z, source_labels=labels, target_labels=labels)
    with pytest.raises(
        DataError,
        match="warm_start: the map to go on from was fitted with other labels",
    ):
        ot.fit(x, z)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"source_labels": ["a"] * N, "target_labels": ["b"] * N},
            "share no class ('a' and 'b')",
        ),
        (
            {"source_labels": ["a"] * 3, "target_labels": ["a"] * N},
            "source_labels: has 3 labels",
        ),
        (
            {"source_labels": ["a"] * N, "source_covariates": np.ones(N)},
            "give labels or covariates, not both",
        ),
        (
            {"source_covariates": np.ones(N), "target_covariates": np.zeros(N)},
            "their ranges do not overlap",
        ),
        (
            {"source_covariates": np.ones(3), "target_covariates": np.zeros(N)},
            "source_covariates: have shape (3, 1)",
        ),
        ({"target_covariates": ["x"] * N}, "target_covariates: are not numbers"),
        (
            {"target_covariates": [np.nan] * N},
            "target_covariates: hold NaN or inf, first in row 0",
        ),
        (
            {"source_covariates": np.ones((N, 2)), "target_covariates": np.ones(N)},
            "target_covariates: has 1 columns",
        ),
    ],
)
def test_bad_conditions_are_named(told: dict[str, Any], message: str) -> None:
    x = normal(N, 2)
    with pytest.raises(DataError, match=re.escape(message)):
        quick().fit(x, x + 1, **told)


def test_streams_have_no_labels() -> None:
    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    with pytest.raises(
        DataError, match="X: a function that draws samples has no labels"
    ):
        quick().fit(draw, draw, source_labels=[1], target_labels=[1])
    with pytest.raises(
        DataError, match="X: with covariates samples must be a table in memory"
    ):
        quick().fit(draw, draw, source_covariates=[1], target_covariates=[1])


def test_conditions_are_asked_for_and_refused() -> None:
    x, z, labels = rings("horizontal swap")
    ot = quick().fit(x, z, source_labels=labels, target_labels=labels)
    with pytest.raises(DataError, match="labels: the map was fitted with labels"):
        ot.transform(x)
    with pytest.raises(
        DataError,
        match="covariates: the map was fitted without covariates; give labels",
    ):
        ot.transform(x, covariates=1.0)
    with pytest.raises(
        DataError, match="labels: the map was fitted without labels; leave them out"
    ):
        quick().fit(x, z).transform(x, labels)
    score = ot.score(x, z, labels, labels)
    assert abs(score - 2) < 0.3  # half of 2 squared


def test_frames_with_labels_come_back_as_frames() -> None:
    x, z, labels = rings("horizontal swap")
    frame = pd.DataFrame(x.numpy(), columns=["u", "v"])
    ot = quick().fit(
        frame,
        pd.DataFrame(z.numpy(), columns=["u", "v"]),
        source_labels=labels,
        target_labels=labels,
    )
    moved = ot.transform(frame, pd.Series(labels))
    assert list(moved.columns) == ["u", "v"]
    np.testing.assert_array_equal(
        quick().fit_transform(
            frame,
            pd.DataFrame(z.numpy(), columns=["u", "v"]),
            source_labels=labels,
            target_labels=labels,
        ),
        moved,
    )


# ---- covariates


def test_a_family_of_gaussians_at_values_never_seen(
    tmp_path: Path, generator: torch.Generator
) -> None:
    family = CovariateGaussians(3)
    c, e = torch.rand(2, 12_000, generator=generator, dtype=torch.float64)
    c, e = (
        values[(values - 0.5).abs() > 0.1] for values in (c, e)
    )  # the middle is never seen
    x, z = family.sample(0, c, generator), family.sample(1, e, generator)
    ot = quick().fit(x, z, source_covariates=c, target_covariates=e)
    for value in (0.1, 0.5, 0.9):
        fresh = family.sample(0, torch.full((2000,), value), generator)
        truth = family.forward(fresh, value)
        moved = ot.transform(fresh, covariates=value)
        assert l2_uvp(moved, truth) < 0.5
        torch.testing.assert_close(ot.map_.at(value)(fresh), moved)
        assert l2_uvp(ot.inverse_transform(truth, covariates=value), fresh) < 0.5
    ot.save(tmp_path / "model")
    assert torch.equal(
        load(tmp_path / "model").transform(x, covariates=c),
        ot.transform(x, covariates=c),
    )
    assert isinstance(ot.map_, ConditionalMap)
    assert ot.labels_ is None


def test_levels_of_two_covariates_and_a_source_that_has_none(
    generator: torch.Generator,
) -> None:
    levels = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    c = levels[torch.randint(len(levels), (6000,), generator=generator)]
    z = torch.randn(6000, 2, generator=generator) * (1 + c[:, :1]) + c[:, 1:]
    x = torch.randn(3000, 2, generator=generator).double()
    ot = quick().fit(x, z, target_covariates=c)
    for level in levels:
        truth = x * (1 + level[0]) + level[1]
        assert l2_uvp(ot.transform(x, covariates=level), truth) < 1


def test_the_network_learns_what_varies_with_a_covariate(
    generator: torch.Generator,
) -> None:
    """X + c tanh(3x) is optimal for every c."""
    c = torch.rand(4000, generator=generator, dtype=torch.float64)
    x, y = torch.randn(2, 4000, 2, generator=generator, dtype=torch.float64)
    z = y + 3 * c[:, None] * torch.tanh(3 * y)
    ot = quick(max_steps=200).fit(x, z, source_covariates=c, target_covariates=c)
    assert ot.diagnostics_["selected"] == "network"
    for value in (0.2, 0.8):
        truth = x + 3 * value * torch.tanh(3 * x)
        affine = ot.map_.conditions.at(ot.map_.conditions.keys(value, "c", 1)[0])
        start = l2_uvp(affine.decode_target(affine.encode_source(x)), truth)
        assert l2_uvp(ot.transform(x, covariates=value), truth) < max(0.6 * start, 0.5)
