"""The Wasserstein-2 benchmark: its map against automatic differentiation, and the files against what they promise."""

import numpy as np
import pytest
import torch

from brenier.datasets import w2hd_pair
from brenier.errors import DataError
from brenier.metrics import l2_uvp
from brenier.statistics.gaussian import fit_gaussian, gaussian_map

GAUSSIAN_MAP_UVP = {2: 14.1, 4: 14.9, 16: 41.6, 64: 63.9}  # published


def potential_arrays(d, rng):
    """Random arrays with the names and signs of a benchmark potential, widths 7, 6, 5."""
    widths = (7, 6, 5)
    arrays = {}
    for i, width in enumerate(widths):
        arrays[f"quadratic{i}"] = 0.3 * rng.standard_normal((d, width))
        arrays[f"linear{i}"] = rng.standard_normal((width, d))
        arrays[f"bias{i}"] = rng.standard_normal(width)
    for i in range(2):
        arrays[f"hidden{i}"] = rng.random((widths[i + 1], widths[i]))
    return arrays | {"readout": rng.random(widths[-1])}


@pytest.fixture
def small(tmp_path):
    """A folder with a benchmark-shaped pair of dimension 3."""
    rng = np.random.default_rng(0)
    arrays = {
        f"potential{k}.{key}": a
        for k in range(2)
        for key, a in potential_arrays(3, rng).items()
    }
    arrays |= {
        "centres": rng.standard_normal((3, 3)),
        "factors": rng.standard_normal((3, 3, 3)),
        "std": 0.4,
    }
    arrays |= {
        "shift": rng.standard_normal(3),
        "scale": 0.5,
        "variance_source": 3.0,
        "variance_target": 2.0,
    }
    (tmp_path / "w2hd").mkdir()
    np.savez(
        tmp_path / "w2hd" / "3.npz",
        allow_pickle=False,
        **{key: np.float32(a) for key, a in arrays.items()},
    )
    return tmp_path


def written_out(arrays, x):
    """D_0(x) + D_1(x), as the page that comes with the data writes it."""
    total = torch.zeros(len(x), dtype=x.dtype)
    for k in range(2):
        part = {
            key.split(".")[1]: a.to(x)
            for key, a in arrays.items()
            if key.startswith(f"potential{k}")
        }
        q = [
            (x @ part[f"quadratic{i}"]) ** 2
            + x @ part[f"linear{i}"].T
            + part[f"bias{i}"]
            for i in range(3)
        ]
        h = q[0]
        for i in (1, 2):
            h = torch.nn.functional.celu(h @ part[f"hidden{i - 1}"].T + q[i])
        total = total + h @ part["readout"] + 0.005 * x.square().sum(1)
    return total


def test_map_is_the_gradient(small, generator):
    pair = w2hd_pair(3, small, dtype=torch.float64)
    with np.load(small / "w2hd" / "3.npz") as archive:
        arrays = {key: torch.from_numpy(archive[key]).double() for key in archive.files}
    x = pair.source(20, generator).requires_grad_()
    (gradient,) = torch.autograd.grad(written_out(arrays, x).sum(), x)
    torch.testing.assert_close(
        pair.forward(x.detach()), (gradient - arrays["shift"]) * arrays["scale"]
    )
    torch.testing.assert_close(
        pair.forward(x.detach().float()).double(),
        pair.forward(x.detach()),
        rtol=1e-4,
        atol=1e-4,
    )


def test_source_is_the_mixture(small, generator):
    pair = w2hd_pair(3, small, dtype=torch.float64)
    with np.load(small / "w2hd" / "3.npz") as archive:
        centres, factors = (
            torch.from_numpy(archive[key]).double() for key in ("centres", "factors")
        )
    x = pair.source(200_000, generator)
    spread = centres - centres.mean(0)
    covariance = (spread.mT @ spread + 0.16 * (factors @ factors.mT).sum(0)) / 3
    torch.testing.assert_close(x.mean(0), centres.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(x.mT), covariance, atol=0.03, rtol=0.02)


def test_samples_follow_dtype_and_generator(small):
    pair = w2hd_pair(3, small)
    (z, x), (again, _) = (
        pair.target_with_preimage(7, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert z.dtype == x.dtype == torch.float32
    assert torch.equal(z, again)
    assert pair.backward is None
    assert (pair.name, pair.dim, pair.variance_source, pair.variance_target) == (
        "w2hd",
        3,
        3.0,
        2.0,
    )


def test_missing_data_says_what_to_do(small, tmp_path, monkeypatch):
    monkeypatch.delenv("BRENIER_DATA", raising=False)
    with pytest.raises(
        DataError,
        match=r"BRENIER_DATA is not set.*w2hd/2\.npz.*iamalexkorotin/Wasserstein2Benchmark",
    ):
        w2hd_pair(2)
    monkeypatch.setenv("BRENIER_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"5\.npz does not exist.*BRENIER_DATA"):
        w2hd_pair(5)
    assert w2hd_pair(3).dim == 3


def test_damaged_files_are_named(small):
    path = small / "w2hd" / "3.npz"
    (small / "w2hd" / "4.npz").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="dimension 3, not 4"):
        w2hd_pair(4, small)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        w2hd_pair(3, small)
    np.savez(path, shift=np.zeros(3))
    with pytest.raises(DataError, match="has no array 'potential0"):
        w2hd_pair(3, small)


# ---- the real files


@pytest.mark.parametrize("dim", GAUSSIAN_MAP_UVP)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_check_points(dim, dtype, data_folder):
    pair = w2hd_pair(dim, data_folder)
    with np.load(data_folder / "w2hd" / f"{dim}.npz") as archive:
        x, y = (
            torch.from_numpy(archive[key]).to(dtype) for key in ("check_x", "check_y")
        )
    assert float((pair.forward(x) - y).norm() / y.norm()) < 1e-4


@pytest.mark.parametrize("dim", GAUSSIAN_MAP_UVP)
def test_the_gaussian_map_scores_as_published(dim, data_folder, generator):
    pair = w2hd_pair(dim, data_folder)
    z, x = pair.target_with_preimage(2**15, generator)
    assert float(x.var(0).sum()) == pytest.approx(pair.variance_source, rel=0.02)
    assert float(z.var(0).sum()) == pytest.approx(pair.variance_target, rel=0.02)
    source, target = fit_gaussian(x), fit_gaussian(z)
    moved = (x.double() - source.mean) @ gaussian_map(source, target) + target.mean
    assert l2_uvp(moved, z, pair.variance_target) == pytest.approx(
        GAUSSIAN_MAP_UVP[dim], rel=0.05
    )
