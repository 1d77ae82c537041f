"""Coordinates of conditioned points: row by row those of the row's condition, with its embedding kept."""

from collections.abc import Callable

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier.statistics.gaussian import moments
from brenier.transport.coordinates import (
    Classes,
    ConditionedCoordinates,
    Conditions,
    CovariateRows,
    aligned_coordinates,
    conditioned,
    covariate_coordinates,
    regularised_pair,
    rows_encoded_at_once,
    to_coordinates,
)
from brenier.transport.coordinates.settings import RowMatrices

N, D = 40, 3
UNIT = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)


def by_class() -> tuple[Conditions, Tensor]:
    """Three classes, and the class of every row."""
    pairs = []
    for k in range(3):
        x, z = (1 + k) * normal(60, D, seed=k), k + normal(70, D, seed=9 + k)
        pairs.append(regularised_pair(moments([x]), moments([z])))
    classes = Classes(("a", "b", "c"), aligned_coordinates(pairs, UNIT))
    return classes, torch.arange(N) % 3


def by_covariates(p: int) -> tuple[Conditions, Tensor]:
    """Covariates that move and scale both sides, and scaled values of them for every row."""
    c = normal(500, p, seed=1)
    x = CovariateRows(c[:, :1] + normal(500, D, seed=2), c)
    z = CovariateRows((1 + c[:, :1].square()) * normal(500, D, seed=3), c)
    found = covariate_coordinates(x, z, UNIT)
    return found, found.scaled(c[:N])


KINDS: dict[str, Callable[[], tuple[Conditions, Tensor]]] = {
    "classes": by_class,
    "one covariate": lambda: by_covariates(1),
    "two covariates": lambda: by_covariates(2),
}
EVERY = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def known() -> dict[str, tuple[Conditions, Tensor, ConditionedCoordinates]]:
    """Conditions of every kind, the index of every row, and the coordinates of the rows."""
    found = {}
    for kind, make in KINDS.items():
        conditions, index = make()
        found[kind] = conditions, index, conditions.side(index)
    return found


Known = dict[str, tuple[Conditions, Tensor, ConditionedCoordinates]]


def sides() -> tuple[Tensor, Tensor]:
    """Rows of either side."""
    return 2 * normal(N, D, seed=4) + 1, normal(N, D, seed=5) - 1


@EVERY
def test_in_and_out_are_inverse(kind: str, known: Known) -> None:
    _, _, coordinates = known[kind]
    x, z = sides()
    torch.testing.assert_close(
        coordinates.decode_source(coordinates.encode_source(x)), x, rtol=0, atol=1e-9
    )
    torch.testing.assert_close(
        coordinates.decode_target(coordinates.encode_target(z)), z, rtol=0, atol=1e-9
    )


@EVERY
def test_every_point_carries_the_embedding_of_its_condition(
    kind: str, known: Known
) -> None:
    conditions, index, coordinates = known[kind]
    x, z = sides()
    embedded = conditions.embedding(index)
    for points in (coordinates.encode_source(x), coordinates.encode_target(z)):
        assert points.shape == (N, D + embedded.shape[1])
        assert torch.equal(points[:, D:], embedded)


@EVERY
def test_what_is_kept_does_not_move_what_is_transported(
    kind: str, known: Known
) -> None:
    """The embedding is no part of a point: another one in its place is decoded alike."""
    _, _, coordinates = known[kind]
    points = coordinates.encode_source(sides()[0])
    spoilt = points.clone()
    spoilt[:, D:] = torch.nan
    assert torch.equal(
        coordinates.decode_source(spoilt), coordinates.decode_source(points)
    )
    assert torch.equal(
        coordinates.decode_target(spoilt), coordinates.decode_target(points)
    )


@EVERY
def test_every_row_is_in_the_coordinates_of_its_condition(
    kind: str, known: Known
) -> None:
    conditions, index, coordinates = known[kind]
    x, z = sides()
    u, w = coordinates.encode_source(x), coordinates.encode_target(z)
    value, envelope = normal(N, seed=6), normal(N, seed=7)
    phi = coordinates.source_terms(x, u, value)
    phi_c = coordinates.target_terms(z, w, envelope)
    cost = coordinates.cost(x, z)
    for row in range(N):
        one, own = slice(row, row + 1), conditions.at(index[row])
        close = torch.testing.assert_close
        close(u[one, :D], own.encode_source(x[one]))
        close(w[one, :D], own.encode_target(z[one]))
        close(coordinates.decode_source(u)[one], own.decode_source(u[one, :D]))
        close(coordinates.decode_target(w)[one], own.decode_target(w[one, :D]))
        close(phi[one], own.source_terms(x[one], u[one, :D], value[one]))
        close(phi_c[one], own.target_terms(z[one], w[one, :D], envelope[one]))
        close(cost[one], own.cost(x[one], z[one]))


@EVERY
def test_inner_products_are_kept(kind: str, known: Known) -> None:
    """Row by row <u, w> = <a, b> with a = (x - m0)/s and b = (z - m1)/s."""
    _, _, coordinates = known[kind]
    x, z = sides()
    affine = coordinates.affine
    a = (x - affine.source_mean) / affine.unit
    b = (z - affine.target_mean) / affine.unit
    u = coordinates.encode_source(x)[:, :D]
    w = coordinates.encode_target(z)[:, :D]
    torch.testing.assert_close((u * w).sum(-1), (a * b).sum(-1), rtol=1e-9, atol=1e-9)


@EVERY
def test_dual_terms_of_the_identity_meet_the_cost_along_the_map(
    kind: str, known: Known
) -> None:
    """In every condition the identity is the affine map, whose terms add up to the cost at its images."""
    _, _, coordinates = known[kind]
    x, _ = sides()
    u, zero = coordinates.encode_source(x), torch.zeros(N, dtype=torch.float64)
    z = coordinates.decode_target(u)
    phi, phi_c = (
        coordinates.source_terms(x, u, zero),
        coordinates.target_terms(z, coordinates.encode_target(z), zero),
    )
    torch.testing.assert_close(
        phi + phi_c, coordinates.cost(x, z), rtol=1e-9, atol=1e-9
    )


# ---- many rows


@EVERY
@pytest.mark.parametrize("target", [False, True], ids=["source", "target"])
def test_rows_become_points_chunk_by_chunk(
    kind: str, target: bool, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions, index, coordinates = known[kind]
    rows = sides()[target]
    encode = coordinates.encode_target if target else coordinates.encode_source
    monkeypatch.setattr(conditioned, "ROW_MATRICES", RowMatrices(numbers=7 * D**2))
    device = torch.device("cpu")
    found = to_coordinates(rows, index, conditions, target, device, torch.float32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, encode(rows).float())


@pytest.mark.parametrize(("dim", "rows"), [(1, 2**22), (2, 2**20), (3000, 1)])
def test_matrices_of_all_rows_at_once_stay_in_memory(dim: int, rows: int) -> None:
    assert rows_encoded_at_once(dim) == rows
    assert RowMatrices(numbers=100).rows(dim) == max(1, 100 // dim**2)
