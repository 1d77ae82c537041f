"""Whatever numbers a flow is given, it ends in finite results or an error of ours."""

import re
import tempfile
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nasty import KINDS, values

from brenier import (
    ConvergenceWarning,
    DataError,
    DataWarning,
    Elastic,
    LogCosh,
    Mahalanobis,
    Power,
    SeparablePower,
    SquaredEuclidean,
)
from brenier.baselines import CharacteristicFlow

COSTS = (
    *(SquaredEuclidean(), Power(1.2), Power(3.0), SeparablePower(1.5)),
    *(Elastic(0.1), LogCosh(1.0), "mahalanobis"),
)
LIKE = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
INPUTS = given(
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    rows=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    dim=st.integers(1, 6),
    cost=st.sampled_from(COSTS),
    head=st.booleans(),
    labelled=st.booleans(),
    dtype=st.sampled_from(("float32", "float64")),
    seed=st.integers(0, 100),
)


def check(
    kinds: tuple[str, str],
    rows: tuple[int, int],
    dim: int,
    cost: Any,
    head: bool,
    labelled: bool,
    dtype: str,
    seed: int,
) -> None:
    """One fit, every result of it, and the way through a file."""
    rng = np.random.default_rng(seed)
    x, z = (values(kind, n, dim, rng) for kind, n in zip(kinds, rows, strict=True))
    if cost == "mahalanobis":
        cost = Mahalanobis(np.diag(np.arange(1.0, dim + 1)))
    labels: dict[str, Any] = {}
    if labelled:
        labels["source_labels"] = rng.integers(2, size=len(x)).tolist()
        labels["target_labels"] = rng.integers(2, size=len(z)).tolist()
    flow = CharacteristicFlow(
        cost,
        quadratic_head=head,
        dtype=dtype,
        width=8,
        layers=2,
        max_steps=2,
        batch_size=32,
        random_state=0,
    )
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DataWarning)
        try:
            flow.fit(x, z, **labels)
        except DataError as error:
            told = str(error)
            assert ":" in told
            assert not hasattr(flow, "map_")
            return
        for result in (
            lambda: flow.transform(x),
            lambda: flow.inverse_transform(z),
            lambda: flow.interpolate(x, 0.5),
            lambda: flow.potential(x, 0.5),
        ):
            try:
                found = result()
            except DataError as error:
                told = str(error)
            else:
                told = "overflow" if np.isfinite(found).all() else "not finite"
            assert re.search("overflow|cannot hold", told), told
        flow.save(folder)
        CharacteristicFlow.load(folder)


@settings(LIKE, max_examples=40)
@INPUTS
def test_a_few_inputs_of_all_kinds(**case: Any) -> None:
    check(**case)


@pytest.mark.slow
@settings(LIKE, max_examples=2000)
@INPUTS
def test_many_inputs_of_all_kinds(**case: Any) -> None:
    check(**case)
