"""Maps in words that JSON can hold: there and back without loss, or a named error."""

import dataclasses
import json
from typing import Any

import pytest
import torch
from fits import same
from problems import normal

from brenier import (
    BFGS,
    LBFGS,
    Anderson,
    Conditional,
    ConditionalMap,
    DataError,
    DenseICNN,
    Distance,
    GradientStep,
    MeanPotential,
    NewtonCG,
    Quadratic,
    TransportMap,
)
from brenier.statistics import moments
from brenier.transport.coordinates import (
    Classes,
    CovariateRows,
    Covariates,
    aligned_coordinates,
    covariate_coordinates,
    regularised_pair,
)
from brenier.transport.maps import method_from_json
from brenier.transport.maps.description import describe, method_to_json, rebuild

FOUND = Distance(
    w2=2.0,
    w2_error=0.01,
    interval=(1.98, 2.02),
    squared=4.0,
    squared_error=0.04,
    lower=1.9,
    lower_error=0.02,
    primal=2.1,
    primal_error=0.03,
    certified=True,
    unconverged=0,
    rows=(10, 20),
    affine_rows=(100, 200),
    gain_counted=True,
    unit="units of the data",
    held_out=True,
)


def again(transport: Any) -> Any:
    """The map that its description in JSON and its tensors give."""
    told = json.loads(json.dumps(describe(transport)))
    weights = transport.network.state_dict()
    return rebuild(told, weights, transport.coordinates)


def classes(*labels: Any) -> Classes:
    """Classes of these labels."""
    pairs = []
    for k in range(len(labels)):
        x, z = normal(20, 2, seed=k), k + normal(20, 2, seed=9 + k)
        pairs.append(regularised_pair(moments([x]), moments([z])))
    unit = torch.ones(2, dtype=torch.float64)
    return Classes(tuple(labels), aligned_coordinates(pairs, unit))


def covariates() -> Covariates:
    """Coordinates of one covariate that moves the target."""
    c = normal(50, 1)
    sides = CovariateRows(normal(50, 2), c), CovariateRows(c + normal(50, 2, seed=1), c)
    return covariate_coordinates(*sides, torch.ones(2, dtype=torch.float64))


# ---- methods


@pytest.mark.parametrize(
    "method", [BFGS(), LBFGS(memory=3), Anderson(), GradientStep(), NewtonCG()]
)
def test_methods_are_told_in_json(method: Any) -> None:
    told = json.loads(json.dumps(method_to_json(method)))
    assert method_from_json(told) == method


@pytest.mark.parametrize("method", [None, object(), LBFGS])
def test_methods_of_ones_own_are_not_told(method: Any) -> None:
    assert method_to_json(method) is None
    assert method_from_json(None) is None


@pytest.mark.parametrize("name", ["minimise", "Solution.concatenate", "os"])
def test_what_is_no_method_is_not_made(name: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        method_from_json({"class": name, "config": {}})


# ---- maps


@pytest.mark.parametrize("found", [None, FOUND])
def test_a_plain_map_comes_back(found: Distance | None) -> None:
    transport = TransportMap(
        DenseICNN(2, (8, 4)),
        method=LBFGS(memory=3),
        tol=1e-3,
        max_steps=7,
        held_out_distance=found,
    )
    back = again(transport)
    assert type(back) is TransportMap
    assert (back.method, back.tol, back.max_steps) == (LBFGS(memory=3), 1e-3, 7)
    assert back.held_out_distance == found
    assert torch.equal(back(normal(5, 2)), transport(normal(5, 2)))


def test_a_map_of_classes_comes_back() -> None:
    network = Conditional(MeanPotential([Quadratic(5), DenseICNN(5, (8, 4))]), 2)
    labels = ("a", ("b", (1, 2)), 2.5)
    transport = ConditionalMap(
        network, classes(*labels), held_out_distance={0: FOUND, 2: FOUND}, tol=1e-3
    )
    back, x = again(transport), normal(3, 2)
    assert type(back) is ConditionalMap
    assert back.labels == labels
    assert back.held_out_distance == {0: FOUND, 2: FOUND}
    assert back.pooled_distance is None
    assert torch.equal(back(x, list(labels)), transport(x, list(labels)))


@pytest.mark.parametrize("found", [None, FOUND])
def test_a_map_of_covariates_comes_back(found: Distance | None) -> None:
    network = Conditional(DenseICNN(5, (8, 4)), 2)
    transport = ConditionalMap(network, covariates(), pooled_distance=found)
    back, x = again(transport), normal(3, 2)
    assert type(back) is ConditionalMap
    assert (back.labels, back.pooled_distance) == ((), found)
    c = [0.1, 0.2, 0.3]
    assert torch.equal(back(x, c), transport(x, c))


def test_a_map_of_covariates_of_0_1_has_no_distance_over_them() -> None:
    """Its description has no field for it."""
    network = Conditional(DenseICNN(5, (8, 4)), 2)
    transport = ConditionalMap(network, covariates(), pooled_distance=FOUND)
    told = describe(transport)
    del told["pooled"]
    back = rebuild(told, network.state_dict(), transport.coordinates)
    assert isinstance(back, ConditionalMap)
    assert back.pooled_distance is None
    with pytest.raises(DataError, match=r"models of 0\.1 have none\); fit again"):
        back.distance()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_and_weights_are_kept(dtype: torch.dtype) -> None:
    network = DenseICNN(2, (8, 4), convex=True).to(dtype)
    back = again(TransportMap(network)).network
    assert same(dict(back.state_dict()), dict(network.state_dict()))
    assert not any(part.requires_grad for part in back.parameters())
    assert not back.training


def test_descriptions_are_those_of_0_1() -> None:
    """What is written is read by 0.1: names of its fields stay."""
    told = describe(TransportMap(Quadratic(2), held_out_distance=FOUND))
    assert told.keys() == {
        *("potential", "dtype", "method", "tol", "max_steps", "held_out"),
    }
    assert told["held_out"] == dataclasses.asdict(FOUND)
    network = Conditional(Quadratic(5), 2)
    told = describe(ConditionalMap(network, classes("a")))
    assert told.keys() >= {"labels", "held_out"}
    assert told["potential"]["space"] == 2
    told = describe(ConditionalMap(network, covariates()))
    assert told["covariates"].keys() == {"knots", "low", "high"}


# ---- what cannot be told


@pytest.mark.parametrize("label", [frozenset("a"), None, b"a", ("a", frozenset())])
def test_labels_that_json_cannot_hold_are_named(label: Any) -> None:
    network = Conditional(Quadratic(5), 2)
    with pytest.raises(DataError, match=r"^labels: .*which cannot be saved"):
        describe(ConditionalMap(network, classes("b", label)))


def test_members_that_cannot_be_rebuilt_are_named() -> None:
    class Own(Quadratic):
        pass

    for network in (
        Own(2),
        MeanPotential([Quadratic(2), Own(2)]),
    ):
        with pytest.raises(DataError, match=r"^potential: Own cannot be rebuilt"):
            describe(TransportMap(network))
