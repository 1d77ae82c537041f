"""The dataset distance: its class term, its gradient, its flow."""

from typing import Any

import numpy as np
import pytest
import torch

from brenier import ConvergenceWarning, DataError
from brenier.baselines import OTDDFlow
from brenier.baselines.otdd import (
    ClassedRows,
    ClassMoments,
    class_moments,
    dataset_distance,
    labelled_costs,
    squared_bures,
)
from brenier.metrics import bures_w2
from brenier.statistics import SinkhornSettings

EXACT = SinkhornSettings(sinkhorn_steps=20_000, marginal_tol=1e-11)


def side(
    n: int, classes: int, generator: torch.Generator, mean: float = 0.0
) -> ClassedRows:
    rows = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    codes = torch.arange(n) % classes
    return ClassedRows(rows + mean + 2 * codes[:, None], codes)


def test_classes_are_as_far_apart_as_their_gaussians(
    generator: torch.Generator,
) -> None:
    first, second = side(40, 2, generator), side(60, 3, generator, mean=1.0)
    found = squared_bures(class_moments(first), class_moments(second))
    assert found.shape == (2, 3)
    for k in range(2):
        for m in range(3):
            x, z = first.rows[first.codes == k], second.rows[second.codes == m]
            truth = bures_w2(x.mean(0), torch.cov(x.mT), z.mean(0), torch.cov(z.mT))
            assert float(found[k, m]) == pytest.approx(truth**2, rel=1e-8)


def test_known_gaussians_are_as_far_apart_as_they_are() -> None:
    one = ClassMoments(torch.zeros(1, 2).double(), torch.eye(2).double()[None])
    two = ClassMoments(torch.ones(1, 2).double(), 9 * torch.eye(2).double()[None])
    torch.testing.assert_close(
        squared_bures(one, two), torch.tensor([[2 + 2 * 4.0]]).double()
    )


def test_the_gradient_is_that_of_differences(generator: torch.Generator) -> None:
    source, target = side(12, 2, generator), side(10, 2, generator, mean=1.5)
    laws = class_moments(source)
    found = dataset_distance(source, target, 0.7, 2.0, settings=EXACT)
    step = 1e-4
    for i, j in ((0, 0), (3, 1), (11, 2)):
        values = []
        for sign in (1, -1):
            rows = source.rows.clone()
            rows[i, j] += sign * step
            values.append(
                _with_laws_of(laws, source._replace(rows=rows), target, 0.7, 2.0)
            )
        slope = (values[0] - values[1]) / (2 * step)
        assert float(found.gradient[i, j]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def _with_laws_of(
    laws: ClassMoments,
    source: ClassedRows,
    target: ClassedRows,
    weight: float,
    epsilon: float,
) -> float:
    """The entropic parts that move, by POT, the laws of classes held fixed."""
    import ot

    def value(one: ClassedRows, other: ClassedRows, added: torch.Tensor) -> float:
        costs = labelled_costs(one, other, weight * added).numpy()
        a, b = (np.full(len(each.rows), 1 / len(each.rows)) for each in (one, other))
        plan = ot.sinkhorn(
            a, b, costs, epsilon, stopThr=1e-13, numItermax=20_000, warn=False
        )
        return float(
            (plan * costs).sum()
            + epsilon * (plan * np.log(plan / np.outer(a, b))).sum()
        )

    of_target = squared_bures(laws, class_moments(target))
    across = value(source, target, of_target)
    return across - value(source, source, squared_bures(laws, laws)) / 2


def test_the_distance_is_zero_of_a_set_to_itself_and_grows_with_a_shift(
    generator: torch.Generator,
) -> None:
    source = side(60, 3, generator)
    same = dataset_distance(source, source, 1.0, 0.5, settings=EXACT)
    assert abs(same.value) < 1e-8
    assert float(same.gradient.abs().max()) < 1e-6
    moved = source._replace(rows=source.rows + 2.0)
    # Rows and laws of classes move by the same vector: each adds its square, 3 * 4.
    far = dataset_distance(source, moved, 1.0, 0.5, settings=EXACT)
    assert far.value == pytest.approx(12.0 + 12.0, rel=0.1)
    torch.testing.assert_close(
        far.gradient.sum(0), torch.full((3,), -4.0).double(), rtol=1e-3, atol=1e-3
    )


def test_the_flow_brings_a_shifted_set_to_its_place_and_new_rows_with_it() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    X = rng.normal(size=(80, 2)) + 6 * labels[:, None]
    flow = OTDDFlow().fit(X, X + 3, source_labels=labels, target_labels=labels)
    np.testing.assert_allclose(flow.transform(X) - X, 3.0, atol=0.3)
    shift = flow.transform(X[:1]) - X[:1]
    np.testing.assert_allclose(flow.transform(X[:1] + 0.01) - X[:1] - 0.01, shift)


def test_the_flow_lessens_the_distance_step_by_step() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    X = rng.normal(size=(80, 2)) + 6 * labels[:, None]
    both = {"source_labels": labels, "target_labels": labels}
    left = [
        OTDDFlow(flow_steps=steps).fit(X, 0.5 * X, **both).diagnostics_
        for steps in (2, 6, 20)
    ]
    assert left[0]["distance_before"] > 0.05
    after = [told["distance_after"] for told in left]
    assert after == sorted(after, reverse=True)
    assert after[-1] < 0.05 * left[0]["distance_before"]


def test_labels_need_not_be_the_same_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    names = np.where(np.arange(40) % 2, "shoe", "shirt")
    flow = OTDDFlow(flow_steps=2).fit(
        X, X, source_labels=names, target_labels=np.arange(40) % 4
    )
    assert np.isfinite(flow.transform(X)).all()


def test_what_cannot_be_used_is_named() -> None:
    X, labels = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    both = {"source_labels": labels, "target_labels": labels}
    with pytest.raises(DataError, match="target_labels: is missing"):
        OTDDFlow().fit(X, X, source_labels=labels)
    with pytest.raises(DataError, match="source_labels: is missing"):
        OTDDFlow().fit(X, X)
    single = np.where(np.arange(20) == 3, 7, labels)
    with pytest.raises(DataError, match="target_labels: class 7 has one row"):
        OTDDFlow().fit(X, X, source_labels=labels, target_labels=single)
    wrong: list[dict[str, Any]] = [{"epsilon": 0}, {"rate": 0}, {"flow_steps": 0}]
    for told in wrong:
        with pytest.raises(DataError, match=next(iter(told))):
            OTDDFlow(**told).fit(X, X, **both)
    with pytest.warns(ConvergenceWarning, match="epsilon: a marginal"):
        OTDDFlow(epsilon=1e-7, flow_steps=1).fit(X, 3 * X + X[::-1] ** 2, **both)
