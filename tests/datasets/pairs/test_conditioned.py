"""Conditioned pairs: the modes of the toys, shifted pairs, and Gaussians whose map at c is the optimal one."""

import dataclasses
import math

import pytest
import torch

from brenier.datasets import RINGS, CovariateGaussians, labelled, ring_classes
from brenier.datasets.pairs.conditioned import shifted
from brenier.datasets.pairs.synthetic import radial_pair


def on_circle(degrees):
    angle = math.radians(degrees)
    return torch.tensor([math.cos(angle), math.sin(angle)])


@pytest.mark.parametrize("name", RINGS)
@pytest.mark.parametrize("deviation", [0.15, 0.02])
def test_modes_lie_where_the_table_says(name, deviation, generator):
    for label, pair in ring_classes(name, deviation=deviation).items():
        z, x = pair.target_with_preimage(20_000, generator)
        angles = RINGS[name][str(label)]
        for rows, angle in ((x, angles.source), (z, angles.target)):
            error = rows.mean(0) - on_circle(angle)
            assert float(error.abs().max()) < 4 * deviation / 20_000**0.5
            assert float(rows.std(0).mean()) == pytest.approx(deviation, rel=0.02)


def test_labels_are_those_of_the_rows(generator):
    source, target, labels = labelled(ring_classes("crossed ring"), 50, generator)
    assert labels == ["rising"] * 50 + ["falling"] * 50
    assert float((source[:50].mean(0) - on_circle(225)).norm()) < 0.1
    assert float((target[50:].mean(0) - on_circle(315)).norm()) < 0.1


def test_shifted_pairs_are_moved_on_both_sides(generator):
    pair = radial_pair(2, dtype=torch.float64)
    move = torch.tensor([3.0, -1.0], dtype=torch.float64)
    moved = shifted(pair, move, -move)
    x = pair.source(10, generator)
    torch.testing.assert_close(moved.forward(x + move), pair.forward(x) - move)
    assert moved.backward is not None
    torch.testing.assert_close(moved.backward(moved.forward(x)), x)
    assert moved.variance_target == pair.variance_target
    without_inverse = dataclasses.replace(pair, backward=None)
    assert shifted(without_inverse, move, move).backward is None


def test_gaussians_of_a_covariate_have_the_laws_and_maps_they_say(generator):
    family = CovariateGaussians(3, seed=2)
    c = torch.full((50_000,), 0.4, dtype=torch.float64)
    x = family.sample(0, c, generator)
    law, image = family.gaussian(0, 0.4), family.gaussian(1, 0.4)
    torch.testing.assert_close(x.mean(0), law.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(x.mT), law.covariance, rtol=0.05, atol=0.05)
    z = family.forward(x, 0.4)
    torch.testing.assert_close(z.mean(0), image.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(z.mT), image.covariance, rtol=0.05, atol=0.05)
    torch.testing.assert_close(family.backward(z, 0.4), x)
