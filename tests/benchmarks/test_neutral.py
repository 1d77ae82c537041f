"""The affine map beside the learnt one."""

from benchmarks import neutral
from brenier.datasets import gaussian_pair


def test_the_affine_map_is_exact_between_gaussians() -> None:
    found = neutral.affine(gaussian_pair(3, seed=2), samples=20_000, n=1000, seed=0)
    assert 0 < found["affine_forward_uvp"] < 0.1
    assert 0 < found["affine_backward_uvp"] < 0.1
