"""The high-dimensional pairs of the Wasserstein-2 benchmark: mixtures of Gaussians and a map that a network defines.

    T*(x) = (grad D_0(x) + grad D_1(x) - shift) * scale
    D(x)  = h_2 @ readout + 0.005 |x|^2,   h_0 = q_0(x),   h_i = celu(h_{i-1} @ hidden_{i-1}' + q_i(x)), i = 1, 2
    q_i(x) = (x @ quadratic_i)^2 + x @ linear_i' + bias_i

"Do Neural Optimal Transport Solvers Work? A Continuous Wasserstein-2 Benchmark", Korotin et al., NeurIPS 2021, with the
authors' weights. T* is the gradient of a convex function, hence optimal from any source to its own image. The source is
a mixture of three equal Gaussians. The weights are not part of this library: see `w2hd_pair` for where they come from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from brenier.datasets.folder import FOLDER_VARIABLE, data_folder
from brenier.datasets.pairs.synthetic import Pair
from brenier.datasets.reading import open_npz, read_intact
from brenier.errors import DataError

ORIGIN = (
    "the files hold the potentials of the Wasserstein-2 benchmark (Korotin et al., NeurIPS 2021; GitHub repository "
    "iamalexkorotin/Wasserstein2Benchmark) as plain arrays"
)


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """How the benchmark's map is computed, for speed alone.

    Denormal numbers are many times as slow as others, so weights and slopes that no sum would show are kept off them.

    Attributes:
        moved_rows_at_once: rows moved at once: what more would need leaves the cache of a CPU.
        smallest_weight: weights below it are taken as zero.
        smallest_log_slope: logarithm of a slope of celu, at least.
    """

    moved_rows_at_once: int = 512
    smallest_weight: float = 1e-15
    smallest_log_slope: float = -40.0


BENCHMARK_SETTINGS = BenchmarkSettings()


def w2hd_pair(
    dim: int, folder: str | Path | None = None, dtype: torch.dtype = torch.float32
) -> Pair:
    """Return the benchmark pair "Mix3ToMix10" of a dimension; its inverse has no closed form.

    Args:
        dim: d, one of 2, 4, 16, 64.
        folder: where `w2hd/<dim>.npz` lies; None for the folder named by the environment variable BRENIER_DATA.
        dtype: of samples; the map follows its argument.

    Raises:
        DataError: for a missing folder or file, or one that is not a benchmark pair.
    """
    path = _path(dim, folder)
    arrays = _load(path)
    try:
        potentials = [
            BenchmarkPotential.read(arrays, f"potential{k}.") for k in range(2)
        ]
        centres, factors, std = (
            arrays[key].to(dtype) for key in ("centres", "factors", "std")
        )
        mixture = Mixture(centres, factors, std)
        shift, scale = arrays["shift"], arrays["scale"]
        variances = [float(arrays[f"variance_{side}"]) for side in ("source", "target")]
    except KeyError as error:
        raise DataError(
            f"{path}: has no array {error}; give the file of a benchmark pair: {ORIGIN}"
        ) from error
    if tuple(shift.shape) != (dim,):
        raise DataError(
            f"{path}: holds a pair of dimension {shift.numel()}, not {dim}; give the right file"
        )

    def forward(x: Tensor) -> Tensor:
        moved = []
        for chunk in x.split(BENCHMARK_SETTINGS.moved_rows_at_once):
            gradient = sum(potential.gradient(chunk) for potential in potentials)
            moved.append(gradient - shift.to(x))
        return scale.to(x) * torch.cat(moved)

    return Pair("w2hd", dim, mixture.sample, forward, None, *variances)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Equal Gaussians N(centre_k, std^2 factor_k factor_k'): centres (k, d), factors (k, d, d)."""

    centres: Tensor
    factors: Tensor
    std: Tensor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return independent samples: (n, d)."""
        device, d = generator.device, self.centres.shape[1]
        components = len(self.centres)
        component = torch.randint(components, (n,), generator=generator, device=device)
        noise = torch.randn(
            n, d, generator=generator, device=device, dtype=self.centres.dtype
        )
        x = self.std * noise
        for k in range(components):
            rows = component == k
            centre, factor = self.centres[k], self.factors[k]
            x[rows] = centre.to(x) + x[rows] @ factor.mT.to(x)
        return x


@dataclasses.dataclass(frozen=True)
class BenchmarkPotential:
    """The convex D of the module's docstring.

    Attributes:
        quadratic: of the three layers, (d, w_i).
        linear: (w_i, d).
        bias: (w_i,).
        hidden: between the layers, (w_{i+1}, w_i).
        readout: (w_2,).
    """

    quadratic: list[Tensor]
    linear: list[Tensor]
    bias: list[Tensor]
    hidden: list[Tensor]
    readout: Tensor

    @classmethod
    def read(cls, arrays: Mapping[str, Tensor], prefix: str) -> BenchmarkPotential:
        """Return the potential whose arrays begin with prefix."""

        def layers(part: str, count: int = 3) -> list[Tensor]:
            return [arrays[f"{prefix}{part}{i}"] for i in range(count)]

        return cls(
            layers("quadratic"),
            layers("linear"),
            layers("bias"),
            layers("hidden", 2),
            arrays[f"{prefix}readout"],
        )

    def gradient(self, x: Tensor) -> Tensor:
        """Return grad D(x), by the chain rule written out: (n, d) -> (n, d)."""
        quadratic = [part.to(x) for part in self.quadratic]
        linear = [part.to(x) for part in self.linear]
        bias = [part.to(x) for part in self.bias]
        hidden = [part.to(x) for part in self.hidden]
        flattest = BENCHMARK_SETTINGS.smallest_log_slope
        roots = [x @ part for part in quadratic]
        q = []
        for root, part, b in zip(roots, linear, bias, strict=True):
            squares = root.square()
            q.append(squares + x @ part.mT + b)
        first = q[0] @ hidden[0].mT + q[1]
        # The slope of celu(t) is exp(min(t, 0)), and celu(t) itself max(t, 0) + exp(min(t, 0)) - 1.
        slope = first.clamp(flattest, 0).exp()
        second = (first.relu() + (slope - 1)) @ hidden[1].mT + q[2]
        outer = second.clamp(flattest, 0).exp() * self.readout.to(x)
        middle = (outer @ hidden[1]) * slope
        slopes = (middle @ hidden[0], middle, outer)
        terms = []
        for factor, root, a, b in zip(slopes, roots, quadratic, linear, strict=True):
            along_squares = 2 * (factor * root) @ a.mT
            terms.append(along_squares + factor @ b)
        return 0.01 * x + sum(terms)


def _path(dim: int, folder: str | Path | None) -> Path:
    """Return the file of a pair, which exists."""
    path = data_folder(folder, f"w2hd/{dim}.npz", ORIGIN) / "w2hd" / f"{dim}.npz"
    if not path.is_file():
        raise DataError(
            f"folder: {path} does not exist (dimensions are 2, 4, 16 and 64); put it there, or point folder or the "
            f"environment variable {FOLDER_VARIABLE} to where it is: {ORIGIN}"
        )
    return path


def _load(path: Path) -> dict[str, Tensor]:
    """Return every array of a file."""
    return read_intact(path, _read_weights, f"an intact file: {ORIGIN}")


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return every array of a `.npz` file, with zeros for the weights that no sum of theirs would show."""
    smallest = BENCHMARK_SETTINGS.smallest_weight
    arrays = {}
    with open_npz(path) as archive:
        for key in archive.files:
            weights = torch.from_numpy(archive[key])
            arrays[key] = torch.where(weights.abs() < smallest, 0, weights)
    return arrays
