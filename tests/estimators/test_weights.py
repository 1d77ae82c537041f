"""Weights of rows in every kind of fit: what they change, and what equal weights do not."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fits import PAIR, X, Y, quick, same, weights
from pytorch_optimizer import SOAP
from sklearn import config_context
from sklearn.pipeline import make_pipeline

from brenier import OptimalTransport, load
from brenier.errors import DataError, DataWarning, ModelFileError

RNG = np.random.default_rng(5)
ONE, OTHER = RNG.exponential(size=len(X)), RNG.exponential(size=len(Y))
OF_X, OF_Y = np.arange(len(X)) % 2, np.arange(len(Y)) % 2
FOLDED: dict[str, Any] = {
    "potential": "auto",
    "settings": {"default_steps": 2, "min_steps": 2, "entropic_temperatures": 3},
    "random_state": 0,
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "identity": {"start": "identity"},
    "folded": FOLDED,
    "labels": {},
}


def fitted(kind: str, **given: Any) -> OptimalTransport:
    """Fit of a kind, with weights where given."""
    if kind == "labels":
        given |= {"source_labels": OF_X, "target_labels": OF_Y}
    ot = (
        OptimalTransport(**FOLDED)
        if kind == "folded"
        else quick(**KINDS[kind], n_networks=1, max_steps=3)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ot.fit(X, Y, **given)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of fit."""
    return str(request.param)


def test_equal_weights_change_nothing(kind: str) -> None:
    plain = fitted(kind)
    level = fitted(kind, source_weight=np.full(len(X), 0.3), target_weight=[7] * len(Y))
    assert same(weights(plain), weights(level))
    label = 0 if kind == "labels" else None
    assert plain.distance(label) == level.distance(label)
    assert plain.history_[-1]["value"] == level.history_[-1]["value"]
    assert "effective_rows" not in level.diagnostics_


def test_weights_reach_every_part_of_a_fit(kind: str) -> None:
    plain = fitted(kind)
    found = fitted(kind, source_weight=ONE, target_weight=OTHER)
    label = 0 if kind == "labels" else None
    first, second = plain.distance(label), found.distance(label)
    assert not same(weights(plain), weights(found))
    assert first.squared != second.squared
    assert first.primal != second.primal
    assert second.effective_rows is not None
    assert second.effective_rows[0] < 0.8 * (second.affine_rows or second.rows)[0]
    assert plain.history_[-1]["value"] != found.history_[-1]["value"]
    worth = found.diagnostics_["effective_rows"]
    assert worth["source"] == pytest.approx(ONE.sum() ** 2 / (ONE**2).sum())
    assert "of equal weights" in second.statement()


def test_weights_of_a_side_are_those_of_its_law() -> None:
    weight = np.exp(X[:, 0] - 0.5)  # N(0, I) becomes N((1, 0), I)
    ot = quick(max_steps=1, n_networks=1).fit(X, X[::-1], source_weight=weight)
    shift = (ot.transform(X) - X).mean(0)
    np.testing.assert_allclose(shift, [-1, 0], atol=0.25)
    low, high = ot.distance().interval
    assert low < 1 < high


def test_rows_of_weight_zero_take_no_part() -> None:
    kept = np.arange(len(X)) < 300
    strange = np.where(kept[:, None], X, 1e3)
    with pytest.warns(DataWarning, match="source_weight: 100 of 400 rows"):
        ot = quick(n_networks=1).fit(strange, Y, source_weight=kept * 2.0)
    alone = quick(n_networks=1).fit(X[:300], Y)
    assert same(weights(ot), weights(alone))


def test_a_class_without_weight_is_left_out() -> None:
    weight = np.where(OF_X == 0, ONE, 0)
    with (
        pytest.warns(DataWarning, match="only one side has 1"),
        pytest.warns(DataWarning, match="200 of 400 rows have weight zero"),
    ):
        ot = quick(max_steps=1).fit(
            X, Y, source_labels=OF_X, target_labels=OF_Y, source_weight=weight
        )
    assert ot.labels_ == (0,)


def test_a_source_may_serve_all_classes() -> None:
    ot = quick(max_steps=1).fit(X, Y, target_labels=OF_Y, source_weight=ONE)
    found = ot.distance(1).effective_rows
    assert found is not None
    assert found[0] < 0.8 * len(X)


def test_distances_and_scores_on_samples_take_weights() -> None:
    ot = quick(n_networks=1, max_steps=3).fit(X, Y)
    times = np.arange(len(X)) % 3 + 1
    rows = np.repeat(X, times, axis=0)
    weighted, many = (
        ot.map_.distance(X, Y, source_weight=times),
        ot.map_.distance(rows, Y),
    )
    assert weighted.squared == pytest.approx(many.squared)
    assert weighted.primal == pytest.approx(many.primal)
    assert weighted.squared_error > many.squared_error
    assert ot.score(X, Y, source_weight=times) == pytest.approx(ot.score(rows, Y))
    assert ot.score(X, Y, target_weight=[2] * len(Y)) == ot.score(X, Y)
    for bad in (np.ones(3), -np.ones(len(X))):
        with pytest.raises(DataError, match=r"^source_weight: "):
            ot.map_.distance(X, Y, source_weight=bad)
        with pytest.raises(DataError, match=r"^source_weight: "):
            ot.score(X, Y, source_weight=bad)
    with pytest.raises(DataError, match=r"^source_weight, target_weight: are of"):
        ot.map_.distance(source_weight=times)


def test_weights_and_covariates_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be given with covariates"):
        quick().fit(X, Y, source_covariates=X[:, 0], source_weight=ONE)


@pytest.mark.parametrize(
    ("name", "right"),
    [("sample_weight", "source_weight"), ("weights", "source_weight and target")],
)
def test_names_of_other_libraries_are_explained(name: str, right: str) -> None:
    with pytest.raises(DataError, match=rf"^{name}: is called {right}"):
        quick().fit(X, Y, **{name: ONE})


def test_scikit_learn_routes_weights() -> None:
    with config_context(enable_metadata_routing=True):
        ot = quick(max_steps=1).set_fit_request(source_weight="sample_weight")
        routed = make_pipeline(ot).fit(X, Y, sample_weight=ONE)[-1]
    told = quick(max_steps=1).fit(X, Y, source_weight=ONE)
    assert same(weights(routed), weights(told))


def test_a_run_goes_on_with_its_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {"n_networks": 1, "max_steps": 40, "patience": 99}

    def run(**given: Any) -> OptimalTransport:
        ot = quick(checkpoint=str(tmp_path / "run"), **told)
        return ot.fit(X, Y, **given)

    original, steps = SOAP.step, []

    def step(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) > 21:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(SOAP, "step", step)
        with pytest.raises(KeyboardInterrupt):
            run(source_weight=ONE)
    for other in (
        {},
        {"source_weight": ONE[::-1].copy()},
        {"target_weight": OTHER},
        {"source_weight": ONE, "target_weight": OTHER},
    ):
        with pytest.raises(ModelFileError, match="started with other samples"):
            run(**other)
    again = run(source_weight=2 * ONE)
    assert same(weights(again), weights(quick(**told).fit(X, Y, source_weight=ONE)))


def test_weights_survive_saving(tmp_path: Path) -> None:
    ot = quick(max_steps=1, n_networks=1).fit(X, Y, source_weight=ONE)
    ot.save(tmp_path / "model")
    found = load(tmp_path / "model")
    assert found.distance() == ot.distance()
    assert found.diagnostics_["effective_rows"] == ot.diagnostics_["effective_rows"]


def test_weights_that_move_the_mass_are_followed() -> None:
    """A target of two clusters with weights 3 : 1 gets three quarters of the mass."""
    rng = np.random.default_rng(0)
    high = np.arange(1000) % 2
    x = rng.normal(size=(1000, 1))
    z = rng.normal(size=(1000, 1)) * 0.3 + np.where(high, 2, -2)[:, None]
    ot = quick(max_steps=60, n_networks=1, settings={"z_threshold": 0.0})
    ot.fit(x, z, target_weight=np.where(high, 3, 1))
    share = float((ot.transform(rng.normal(size=(4000, 1))) > 0).mean())
    assert share == pytest.approx(0.75, abs=0.05)


def affine_interval(seed: int, null: bool, rows: int = 300) -> tuple[float, float]:
    """The interval of W2 between N(0, I) weighted to N((1, 0), I), or at random, and N(0, I)."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(rows, 2)), rng.normal(size=(rows, 2))
    weight = rng.exponential(size=rows) if null else np.exp(x[:, 0])
    ot = quick(max_steps=1, n_networks=1, patience=1)
    return ot.fit(x, z, source_weight=weight).distance().interval


@pytest.mark.slow
@pytest.mark.parametrize("null", [False, True])
def test_intervals_of_weighted_samples_cover(null: bool) -> None:
    truth, covered, seeds = 0.0 if null else 1.0, 0, 60
    for seed in range(seeds):
        low, high = affine_interval(seed, null)
        covered += low <= truth <= high
    # Weights as heavy as exp(x) hide the rows that count most: nine intervals in ten, then.
    assert covered >= (0.93 if null else 0.85) * seeds


def test_an_interval_of_weighted_samples_covers() -> None:
    assert all(
        low <= 1 <= high for low, high in (affine_interval(s, False) for s in range(3))
    )
    assert affine_interval(0, True)[0] == 0


@pytest.mark.slow
def test_whole_weights_train_like_repeated_rows() -> None:
    x, z = PAIR
    times = np.random.default_rng(0).integers(1, 4, size=len(x))
    told = {"max_steps": 60, "n_networks": 1}
    weighted = quick(**told).fit(x, z, source_weight=times)
    many = quick(**told).fit(np.repeat(x, times, axis=0), z)
    grid = np.random.default_rng(1).normal(size=(500, 2))
    apart = np.square(weighted.transform(grid) - many.transform(grid)).mean()
    assert apart < 0.1 * np.square(many.transform(grid) - grid).mean()
    assert weighted.score(grid, z) == pytest.approx(many.score(grid, z), abs=0.1)
