"""Variants are arguments of the estimator, or fields of its settings."""

import inspect

import pytest
import torch

from benchmarks import ablation
from benchmarks.harness import rows
from brenier import DenseICNN, OptimalTransport


def test_a_variant_changes_settings_or_arguments() -> None:
    assert not set(ablation.SETTINGS) & set(ablation.ARGUMENTS)
    known = set(inspect.signature(OptimalTransport).parameters)
    for arguments in ablation.ARGUMENTS.values():
        assert set(arguments) <= known
    for variant, values in ablation.SETTINGS.items():
        assert ablation.VARIANTS[variant] == {"settings": values}


def test_every_row_is_of_a_known_variant() -> None:
    known = rows.read(rows.RESULTS / "ablation.jsonl")
    variants = {row.method.rpartition(", ")[0] for row in known}
    assert variants <= set(ablation.VARIANTS)


@pytest.mark.parametrize(
    ("make", "layers"),
    [(ablation.scaled(0.5), 3), (ablation.deep(5), 5), (ablation.wide_biases, 3)],
)
def test_networks_of_variants(
    make: object, layers: int, generator: torch.Generator
) -> None:
    assert callable(make)
    potential = make(4, generator)
    assert isinstance(potential, DenseICNN)
    assert len(potential.hidden) == layers
