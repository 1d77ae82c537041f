"""Modes of torch: whatever the caller has switched on, a fit is the same, and the modes are as before."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from fits import PAIR, quick, same, weights

from brenier import OptimalTransport
from brenier.potentials import UsualType, usual_modes

Context = Callable[[], AbstractContextManager[object]]
MODES: dict[str, Context] = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "meta": lambda: torch.device("meta"),
}


def fitted(potential: str = "free") -> OptimalTransport:
    """A network, trained for some steps, that is kept."""
    settings = {"z_threshold": 0.0}
    return quick(potential, max_steps=3, n_networks=1, settings=settings).fit(*PAIR)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("potential", ["free", "residual"])
def test_a_fit_is_the_same_in_every_mode(potential: str, name: str) -> None:
    expected = weights(fitted(potential))
    with MODES[name]():
        found = fitted(potential)
        moved = found.transform(PAIR[0][:5])
        back = found.inverse_transform(PAIR[1][:5])
    assert same(weights(found), expected)
    np.testing.assert_array_equal(moved, found.transform(PAIR[0][:5]))
    np.testing.assert_array_equal(back, found.inverse_transform(PAIR[1][:5]))
    assert not any(part.is_inference() for part in weights(found).values())


def test_deterministic_algorithms_give_the_same_fit() -> None:
    expected = weights(fitted())
    torch.use_deterministic_algorithms(True)
    try:
        assert same(weights(fitted()), expected)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_another_default_type_does_not_break_a_fit(kind: torch.dtype) -> None:
    expected = weights(fitted())
    torch.set_default_dtype(kind)
    try:
        found = fitted()
        assert torch.get_default_dtype() == kind
        assert np.isfinite(found.transform(PAIR[0])).all()
        assert np.isfinite(found.inverse_transform(PAIR[1])).all()
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(weights(found), expected) == (kind != torch.float64)


def test_classes_and_covariates_too() -> None:
    x, z = PAIR[0][:200], PAIR[1][:200]
    labels, dose = [0, 1] * 100, np.linspace(0, 1, 200)
    with torch.inference_mode(), torch.device("meta"):
        by_class = quick(max_steps=1, n_networks=1)
        by_class.fit(x, z, source_labels=labels, target_labels=labels)
        by_dose = quick(max_steps=1, n_networks=1)
        by_dose.fit(x, z, source_covariates=dose, target_covariates=dose)
        for moved in (
            by_class.transform(x, labels),
            by_class.inverse_transform(x, labels),
            by_dose.transform(x, covariates=dose),
            by_class.map_.at(1)(x),
            by_dose.map_.at(0.5)(x),
        ):
            assert np.isfinite(moved).all()


def test_modes_are_as_before() -> None:
    with torch.inference_mode(), torch.autocast("cpu"):
        with usual_modes(gradients=True):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
    with usual_modes(gradients=False):
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    with torch.device("meta"):
        with usual_modes(gradients=False):
            assert torch.zeros(1).device.type == "cpu"
        assert torch.zeros(1).device.type == "meta"


def test_the_last_of_several_restores_the_type() -> None:
    torch.set_default_dtype(torch.float16)
    try:
        first, second = UsualType(), UsualType()
        first.__enter__()
        second.__enter__()
        first.__exit__()
        assert torch.get_default_dtype() == torch.float32
        second.__exit__()
        assert torch.get_default_dtype() == torch.float16
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_precision_can_be_given_as_a_type() -> None:
    x, z = PAIR[0][:100], PAIR[1][:100]
    for given in (torch.float64, np.float64, np.dtype("float64"), float):
        ot = quick(max_steps=1, n_networks=1, dtype=given).fit(x, z)
        assert next(ot.map_.network.parameters()).dtype == torch.float64
