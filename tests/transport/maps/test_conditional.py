"""Maps given a condition: row by row the map of the row's condition, in batches, and how a distance is asked for."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fits import quick
from problems import POTENTIALS, gentle, normal
from torch import Tensor

from brenier import (
    BFGS,
    Conditional,
    ConditionalMap,
    ConvergenceWarning,
    DataError,
    NewtonCG,
    Quadratic,
    Status,
)
from brenier.datasets import labelled, ring_classes
from brenier.statistics import moments
from brenier.transport.coordinates import (
    Classes,
    Conditions,
    CovariateRows,
    aligned_coordinates,
    conditioned,
    covariate_coordinates,
    identity_coordinates,
    regularised_pair,
)
from brenier.transport.coordinates.settings import RowMatrices
from brenier.transport.maps.distance import Measured

N, D = 60, 2
UNIT = torch.ones(D, dtype=torch.float64)
X, Z = 1 + normal(N, D), normal(N, D, seed=1) - 1
LABELS: list[Any] = [("a", 7, ("b", 1))[k % 3] for k in range(N)]
COVARIATES = normal(N, 1, seed=2)


def classes() -> Classes:
    """Three classes of Gaussians."""
    pairs = []
    for k in range(3):
        x, z = (1 + k) * normal(80, D, seed=k), k + normal(90, D, seed=9 + k)
        pairs.append(regularised_pair(moments([x]), moments([z])))
    return Classes(("a", 7, ("b", 1)), aligned_coordinates(pairs, UNIT))


def by_class(**settings: Any) -> ConditionalMap:
    """A map of three classes with a network that is the same for none of them."""
    return made(classes(), D + 3, **settings)


def by_covariate(**settings: Any) -> ConditionalMap:
    """A map at every value of one covariate."""
    c = normal(300, 1, seed=4)
    source = CovariateRows(normal(300, D, seed=5), c)
    target = CovariateRows((1 + c.square()) * normal(300, D, seed=6) + c, c)
    return made(covariate_coordinates(source, target, UNIT), D + 3, **settings)


def made(conditions: Conditions, dim: int, **settings: Any) -> ConditionalMap:
    """A map of a small network."""
    network = Conditional(gentle(POTENTIALS["convex celu"], dim=dim), D)
    told = {"method": NewtonCG(), "tol": 1e-10, **settings}
    return ConditionalMap(network, conditions, **told)


MAPS: dict[str, tuple[Any, Any]] = {
    "labels": (by_class, LABELS),
    "covariates": (by_covariate, COVARIATES),
}
EVERY = pytest.mark.parametrize(("make", "given"), MAPS.values(), ids=MAPS)


def results(transport: ConditionalMap, given: Any) -> list[Tensor]:
    """Everything that is asked of a map row by row."""
    phi, phi_c, _ = transport.dual_terms(X, Z, given, given)
    return [
        transport(X, given),
        transport.inverse(Z, given),
        transport.interpolate(X, given, 0.3),
        phi,
        phi_c,
    ]


# ---- laws


@EVERY
def test_every_row_is_moved_by_the_map_of_its_condition(make: Any, given: Any) -> None:
    transport = make()
    moved, back, between, phi, phi_c = results(transport, given)
    index = transport.conditions.encode_index(given, "c", N)
    costs = transport.cost_at(X, index)
    for row in range(0, N, 7):
        own, one = transport.at(given[row]), slice(row, row + 1)
        close = torch.testing.assert_close
        close(moved[one], own(X[one]), rtol=0, atol=1e-9)
        close(back[one], own.inverse(Z[one]), rtol=0, atol=1e-8)
        close(between[one], own.interpolate(X[one], 0.3), rtol=0, atol=1e-9)
        close(phi[one], own.phi(X[one]), rtol=0, atol=1e-9)
        close(phi_c[one], own.phi_c(Z[one])[0], rtol=0, atol=1e-9)
        close(costs[one], own.coordinates.cost(X[one], own(X[one])), rtol=0, atol=1e-9)


@EVERY
def test_one_condition_serves_all_rows(make: Any, given: Any) -> None:
    transport = make()
    torch.testing.assert_close(
        transport(X, given[1]), transport.at(given[1])(X), rtol=0, atol=1e-9
    )


@EVERY
def test_there_and_back(make: Any, given: Any) -> None:
    transport = make()
    back, solution = transport.inverse(transport(X, given), given, return_solution=True)
    assert (solution.status == Status.CONVERGED).all()
    torch.testing.assert_close(back, X, rtol=0, atol=1e-7)


@EVERY
def test_terms_meet_the_cost_along_the_map(make: Any, given: Any) -> None:
    transport = make()
    index = transport.conditions.encode_index(given, "c", N)
    moved = transport(X, given)
    phi, phi_c, _ = transport.dual_terms(X, moved, given, given)
    torch.testing.assert_close(
        phi + phi_c, transport.cost_at(X, index), rtol=0, atol=1e-8
    )
    assert torch.equal(transport.phi_at(X, index), phi)
    assert torch.equal(transport.phi_c_at(moved, index)[0], phi_c)


# ---- batches


@EVERY
@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_batches_change_nothing(make: Any, given: Any, batch_size: int) -> None:
    small, whole = make(batch_size=batch_size), make()
    for found, expected in zip(
        results(small, given), results(whole, given), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@EVERY
def test_rows_with_matrices_of_their_own_are_moved_a_few_at_a_time(
    make: Any, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = make()
    expected = results(transport, given)
    monkeypatch.setattr(conditioned, "ROW_MATRICES", RowMatrices(numbers=4 * 7))
    most, side = [0], type(transport.conditions).side

    def counted(conditions: Any, index: Tensor) -> Any:
        most[0] = max(most[0], len(index))
        return side(conditions, index)

    monkeypatch.setattr(type(transport.conditions), "side", counted)
    for found, one in zip(results(transport, given), expected, strict=True):
        torch.testing.assert_close(found, one, rtol=0, atol=1e-9)
    assert most == [7]


def test_how_many_rows_are_moved_at_once_changes_no_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row has matrices of its own: those of all rows together may be larger than memory."""
    x, z, labels = labelled(
        ring_classes("four-mode ring"), 50, torch.Generator().manual_seed(0)
    )
    whole = quick(max_steps=5).fit(x, z, source_labels=labels, target_labels=labels)
    monkeypatch.setattr(conditioned, "ROW_MATRICES", RowMatrices(numbers=4 * 7))
    parts = quick(max_steps=5).fit(x, z, source_labels=labels, target_labels=labels)
    torch.testing.assert_close(parts.transform(x, labels), whole.transform(x, labels))
    torch.testing.assert_close(
        parts.inverse_transform(z, labels), whole.inverse_transform(z, labels)
    )


# ---- what is given and what comes back


@EVERY
def test_the_kind_given_comes_back(make: Any, given: Any) -> None:
    transport = make()
    frame = pd.DataFrame(X.numpy(), columns=["u", "v"], index=range(9, 9 + N))
    moved = transport(frame, given)
    assert list(moved.columns) == ["u", "v"]
    assert moved.index.equals(frame.index)
    assert isinstance(transport(X.numpy(), given), np.ndarray)
    assert transport(X.float(), given).dtype == torch.float32
    assert transport(X[:0], given[:0]).shape == (0, D)


@EVERY
def test_rows_that_did_not_converge_are_warned_about(make: Any, given: Any) -> None:
    transport = make(max_steps=1, tol=1e-14)
    with pytest.warns(ConvergenceWarning, match=r"inverse: \d+ of 60 rows ended"):
        transport.inverse(9 * Z, given)


@EVERY
@pytest.mark.parametrize("t", [float("nan"), float("inf")])
def test_interpolation_refuses_what_is_no_time(make: Any, given: Any, t: float) -> None:
    with pytest.raises(DataError, match="t: must be a finite number"):
        make().interpolate(X, given, t)


@EVERY
def test_as_many_conditions_as_rows_are_needed(make: Any, given: Any) -> None:
    with pytest.raises(DataError, match=r"^(labels|covariates): ha"):
        make()(X, given[:-1])


def test_potentials_of_plain_points_are_refused() -> None:
    with pytest.raises(
        DataError, match="potential: must be a `Conditional`, got Quadratic"
    ):
        ConditionalMap(Quadratic(5), classes())


def test_defaults_and_devices() -> None:
    transport = ConditionalMap(Conditional(Quadratic(5), 2), classes())
    assert transport.method == BFGS()
    assert transport.to("cpu") is transport
    assert transport.labels == ("a", 7, ("b", 1))
    assert by_covariate().labels == ()


# ---- distances

TERMS = torch.linspace(0, 4, 10, dtype=torch.float64)
FOUND = Measured(TERMS, TERMS, TERMS, TERMS, 0, 1.0).distance(
    identity_coordinates(2), held_out=True
)


def test_distances_of_classes_are_those_measured_at_fit_time() -> None:
    transport = by_class(held_out_distance={1: FOUND})
    assert transport.distance(7) is FOUND
    assert transport.at(7).distance() is FOUND
    assert transport.at_index(torch.tensor(1)).held_out_distance is FOUND
    with pytest.raises(DataError, match="x, z: no samples of 'a' were held out; give"):
        transport.distance("a")
    with pytest.raises(DataError, match="labels: the map was fitted with labels; say"):
        transport.distance()
    with pytest.raises(DataError, match="labels: 'c' not among the classes"):
        transport.distance("c")


@EVERY
def test_distances_on_samples_are_those_of_the_map_there(make: Any, given: Any) -> None:
    transport = make()
    assert transport.distance(given[2], X, Z) == transport.at(given[2]).distance(X, Z)


def test_the_distance_over_covariates_is_the_one_measured() -> None:
    transport = by_covariate(pooled_distance=FOUND)
    assert transport.distance() is FOUND
    with pytest.raises(DataError, match=r"covariates: .*say at which the distance"):
        transport.distance(x=X, z=Z)
    with pytest.raises(DataError, match=r"x, z: no samples of 0\.5 were held out"):
        transport.distance(0.5)


def test_without_a_distance_over_covariates_it_says_what_to_do() -> None:
    with pytest.raises(
        DataError, match=r"^covariates: .*fit again, or .*`map_.distance\(c, x, z\)`"
    ):
        by_covariate().distance()
