"""`certify`: every kind of fit, its rows, its seed, what is kept, and what is refused."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import normal

from brenier import (
    DataError,
    Mahalanobis,
    ModelFileError,
    OptimalTransport,
    Power,
    UnbalancedMass,
    load,
)
from brenier.training import Keeper

# Fits of few steps may be of little use.
pytestmark = pytest.mark.filterwarnings("ignore::brenier.ConvergenceWarning")

QUICK: dict[str, Any] = {"max_steps": 15, "batch_size": 128, "random_state": 0}
X = normal(400, 2).numpy()
Y = 2 * np.tanh(2 * normal(400, 2, seed=1).numpy()) + 1
NEW = normal(300, 2, seed=2).numpy(), Y[::-1][:300] + 0.01
LABELS = np.repeat(["a", "b"], 200)
DOSES = np.tile([0.0, 1.0], 200)
TIMES = np.random.default_rng(0).uniform(size=400)


@pytest.fixture(scope="module")
def plain() -> OptimalTransport:
    """A plain fit."""
    return OptimalTransport(**QUICK).fit(X, Y)


def test_a_fit_is_bounded_and_its_error_estimated(plain: OptimalTransport) -> None:
    found = plain.certify()
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= found.estimate <= found.upper
    assert found.gap is not None
    assert found.map_error is not None
    assert found.map_error.forward is not None
    assert found.map_error.forward > 0
    assert found.audit is not None
    assert found.audit.rows == 400
    assert plain.certificate_ is found
    assert found.held_out


def test_the_same_seed_gives_the_same_certificate(plain: OptimalTransport) -> None:
    assert plain.certify(seed=3, map_error=False) == plain.certify(
        seed=3, map_error=False
    )
    assert plain.certify(seed=4, map_error=False) != plain.certify(
        seed=3, map_error=False
    )


def test_certifying_leaves_the_map_as_it_was(plain: OptimalTransport) -> None:
    before = plain.transform(X)
    plain.certify(map_error=False)
    assert np.array_equal(before, plain.transform(X))


def test_new_rows_are_measured_anew(plain: OptimalTransport) -> None:
    found = plain.certify(*NEW, map_error=False)
    assert found.rows == (300, 300)
    assert found.held_out
    assert found.estimate == pytest.approx(plain.map_.distance(*NEW).w2)


def test_it_is_saved_and_comes_back(plain: OptimalTransport, tmp_path: Path) -> None:
    found = plain.certify(map_error=False)
    plain.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.certificate_ == found
    with pytest.raises(DataError, match="X, Y: the samples of the fit are not at hand"):
        loaded.certify()
    assert loaded.certify(*NEW, map_error=False).rows == (300, 300)


def test_a_model_with_a_damaged_certificate_is_refused(
    plain: OptimalTransport, tmp_path: Path
) -> None:
    plain.certify(map_error=False)
    assert plain.certificate_ is not None
    wrong = {**plain.certificate_.to_json(), "confidence": "high"}
    altered = copy.copy(plain)
    altered._certified = lambda: {"certificate": wrong}  # type: ignore[method-assign]
    altered.save(tmp_path / "model")
    with pytest.raises(ModelFileError, match="certificate"):
        load(tmp_path / "model")


def test_samples_are_neither_pickled_nor_copied(plain: OptimalTransport) -> None:
    for other in (pickle.loads(pickle.dumps(plain)), copy.deepcopy(plain)):
        with pytest.raises(DataError, match="not at hand"):
            other.certify()
    assert plain.certify(map_error=False) is not None


def test_a_new_fit_has_no_certificate() -> None:
    ot = OptimalTransport(**QUICK).fit(X, Y)
    ot.certify(map_error=False)
    assert ot.fit(X, Y).certificate_ is None


def test_classes_are_certified_one_by_one_and_together() -> None:
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_labels=LABELS, target_labels=LABELS)
    found = ot.certify(map_error=False)
    assert [label for label, _ in found.parts] == ["a", "b"]
    lowers = [part.lower for _, part in found.parts]
    assert found.lower is not None
    assert None not in lowers
    uppers = [part.upper or 0.0 for _, part in found.parts]
    assert found.upper is not None
    assert found.upper <= max(uppers)
    labels: dict[str, Any] = {
        "source_labels": LABELS[::-1][:300],
        "target_labels": LABELS[::-1][:300],
    }
    assert len(ot.certify(*NEW, map_error=False, **labels).parts) == 2


def test_values_of_covariates_are_parts_where_they_are_few() -> None:
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_covariates=DOSES, target_covariates=DOSES)
    found = ot.certify(map_error=False)
    assert [value for value, _ in found.parts] == [0.0, 1.0]
    assert found.lower is not None
    assert found.upper is not None
    assert found.at(0.0).lower is None  # its rows were trained on


@pytest.mark.parametrize("both", [True, False], ids=["both sides", "target"])
def test_covariates_that_all_differ_are_bounded_from_below(both: bool) -> None:
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_covariates=TIMES if both else None, target_covariates=TIMES)
    found = ot.certify()
    assert found.lower is not None
    assert found.upper is None
    assert found.audit is not None
    if ot.diagnostics_["selected"] == "network":  # without matchings a twin alone tells
        assert found.map_error is not None
    assert "covariates take too many values" in found.statement()


def test_other_costs_are_bounded_in_their_units() -> None:
    found = OptimalTransport(cost=Power(1.5), **QUICK).fit(X, Y).certify()
    assert found.measure == "OT_c"
    assert found.lower is not None
    assert found.upper is not None
    assert found.map_error is None
    assert "calibrated for the squared distance" in found.statement()


def test_a_metric_is_that_of_the_bounds(tmp_path: Path) -> None:
    cost = Mahalanobis(np.array([[2.0, 0.5], [0.5, 1.0]]))
    ot = OptimalTransport(cost=cost, **QUICK).fit(X, Y)
    found = ot.certify(map_error=False)
    again = ot.certify(X, Y, map_error=False)
    assert found.upper == pytest.approx(again.upper, rel=0.02)
    root = torch.linalg.cholesky(torch.as_tensor(cost.matrix)).numpy()
    plain = OptimalTransport(**QUICK).fit(X @ root, Y @ root).certify(map_error=False)
    assert found.upper == pytest.approx(plain.upper, rel=0.02)


@pytest.mark.slow
def test_streams_are_certified_by_fresh_rows() -> None:
    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    def target(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator) + 1

    settings = {"held_out_rows": 500}
    ot = OptimalTransport(max_steps=3, random_state=0, settings=settings)
    found = ot.fit(source, target).certify(map_error=False)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 2**0.5 < found.upper


def test_unbalanced_mass_is_refused() -> None:
    ot = OptimalTransport(mass=UnbalancedMass(1.0, 1.0), **QUICK).fit(X, Y)
    with pytest.raises(DataError, match="mass: certificates know balanced mass only"):
        ot.certify()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 1.0}, "confidence: must be from 0.5"),
        ({"confidence": "high"}, "confidence: must be a positive number"),
        ({"seed": -1}, "seed: must be a positive whole number or zero"),
        ({"X": X}, "X, Y: give both"),
        ({"source_weight": np.ones(400)}, "X, Y: give both"),
        ({"X": X[:, :1], "Y": Y[:, :1]}, "X: has 1 features, the map 2"),
        ({"X": X, "Y": Y, "source_labels": LABELS}, "fitted without labels"),
    ],
)
def test_what_cannot_be_certified_is_named(
    plain: OptimalTransport, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        plain.certify(**arguments)


@pytest.mark.slow
def test_classes_have_errors_of_their_own_maps() -> None:
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_labels=LABELS, target_labels=LABELS)
    assert ot.certify().at("a").map_error is not None


@pytest.mark.slow
def test_an_interrupted_second_fit_is_taken_up(
    plain: OptimalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plain.certify()
    saved = Keeper.save

    def stop(self: Keeper, *arguments: Any) -> None:
        saved(self, *arguments)
        raise KeyboardInterrupt

    folder = str(tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            plain.certify(checkpoint=folder)
    assert any(Path(folder).iterdir())
    assert plain.certify(checkpoint=folder) == whole
    assert not any(Path(folder).iterdir())


def test_few_rows_say_nothing() -> None:
    found = OptimalTransport(**QUICK).fit(X[:15], Y[:15]).certify()
    assert (found.lower, found.upper, found.gap) == (None, None, None)


def test_an_affine_map_is_judged_by_matchings() -> None:
    Z = 2 * normal(400, 2, seed=5).numpy() + 1
    ot = OptimalTransport(**QUICK).fit(X, Z)
    assert ot.diagnostics_["selected"] == "affine"
    error = ot.certify().map_error
    assert error is not None
    assert error.kind == "matching"
    assert error.twin_forward is None


def test_a_class_of_few_rows_is_left_out_and_named() -> None:
    labels = np.repeat(["a", "b", "rare"], [200, 192, 8])
    ot = OptimalTransport(**QUICK)
    ot.fit(X, Y, source_labels=labels, target_labels=labels)
    found = ot.certify(map_error=False)
    assert found.at("rare").upper is None
    assert found.lower is not None
    assert found.upper is not None
    assert "leave out 'rare'" in found.statement()


def test_a_bound_is_certain_only_where_inner_minima_are() -> None:
    convex = {**QUICK, "potential": "convex"}
    plain = OptimalTransport(**convex).fit(X, Y).certify(map_error=False)
    assert plain.certain
    # Under other costs a convex psi does not make inner problems convex.
    costed = OptimalTransport(cost=Power(1.5), **convex).fit(X, Y)
    assert costed.certify(map_error=False).certain == costed.distance().certified


def test_rows_given_are_said_to_be_taken_for_new(plain: OptimalTransport) -> None:
    assert "taken to be new" in plain.certify(*NEW, map_error=False).statement()
    assert "taken to be new" not in plain.certify(map_error=False).statement()
