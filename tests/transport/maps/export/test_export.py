"""Files of maps give what the maps give, near and far, for any number of rows, or are not written."""

import dataclasses
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import (
    POTENTIALS,
    conditioned,
    mean,
    normal,
    positive_definite,
    randomised,
)
from torch import Tensor

from brenier import (
    DataError,
    DataWarning,
    Elastic,
    LogCosh,
    Potential,
    Power,
    Quadratic,
    SeparablePower,
    TransportMap,
    load,
)
from brenier.potentials import EntropicPotential, MaxAffine
from brenier.statistics import Gaussian
from brenier.transport.coordinates import (
    Coordinates,
    aligned_coordinates,
    plain_coordinates,
)
from brenier.transport.dual import UnbalancedMass
from brenier.transport.maps import Ground
from brenier.transport.maps.export import export

MODELS = Path(__file__).parents[3] / "models_of_0_1"


def coordinates() -> Coordinates:
    """Coordinates that mix, stretch and shift three features."""
    pairs = [
        (
            Gaussian(normal(3, seed=k) * 5, positive_definite(3, condition=9.0)),
            Gaussian(normal(3, seed=k + 2), positive_definite(3, condition=4.0)),
        )
        for k in (1,)
    ]
    unit = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    return aligned_coordinates(pairs, unit).pick(0)


def entropic() -> Potential:
    u, w = normal(40, 3), 2 * normal(50, 3, seed=1)
    sides = [(side, normal(len(side), seed=2)) for side in (u, w)]
    return EntropicPotential.of_potentials(sides[0], sides[1], 0.2)


def max_affine() -> Potential:
    return MaxAffine.of_plan(2 * normal(50, 3), normal(50, seed=2), 0.05)


MADE: dict[str, Callable[[], Potential]] = {
    **{name: partial(new, 3, size=0.2) for name, new in POTENTIALS.items()},
    "mean": mean,
    "conditional": conditioned,
    "entropic": entropic,
    "max-affine": max_affine,
}
SAVED = sorted(folder.name for folder in MODELS.iterdir())
QUICK = (
    "free softplus",
    "conditional",
    "entropic",
    "max-affine",
)  # of others models are saved
GROUNDS = {
    "power": Ground(Power(1.5)),
    "separable power": Ground(SeparablePower(3.0)),
    "elastic": Ground(Elastic(0.3)),
    "log cosh": Ground(LogCosh(1.0), reach=((-2.0,) * 3, (2.0,) * 3)),
    "unbalanced": Ground(Power(2.0), UnbalancedMass(1.0, 2.0)),
}


def slow_unless(names: Any, quick: Any) -> list[Any]:
    """Parameters, those not among the quick ones marked as slow."""
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


def ran(path: Path, *inputs: Tensor) -> list[Tensor]:
    """The outputs of a file, by what others would read it with."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        with torch.no_grad():
            return list(module(*inputs))
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path))
    names = [each.name for each in session.get_inputs()]
    arrays = [each.numpy() for each in inputs]
    found = session.run(None, dict(zip(names, arrays, strict=True)))
    return [torch.from_numpy(each) for each in found]


def rows(transport: Any, n: int = 200) -> Tensor:
    """Rows of the source, every fifth of them far outside."""
    span = torch.where(torch.arange(n) % 5 == 0, 50.0, 1.0).double().unsqueeze(-1)
    decoded: Tensor = transport.coordinates.decode_source(span * normal(n, 3, seed=5))
    return decoded


def assert_alike(found: Any, expected: Any, tol: float) -> None:
    """Assert that rows (n, d) agree, relative to their spread or their distance where that is more."""
    a, b = (torch.as_tensor(np.asarray(each)).double() for each in (found, expected))
    away = (b - b.mean(0)).abs().amax(-1)
    assert float(((a - b).abs().amax(-1) / away.clamp(min=away.median())).max()) <= tol


@pytest.mark.parametrize("suffix", slow_unless([".pt2", ".onnx"], [".pt2"]))
@pytest.mark.parametrize("name", slow_unless(MADE, QUICK))
def test_potentials(name: str, suffix: str, tmp_path: Path) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
    transport = TransportMap(MADE[name](), coordinates())
    path = tmp_path / f"map{suffix}"
    written = transport.export(path)
    assert written.difference is None or written.difference.largest < 1e-9
    x = rows(transport)
    assert_alike(ran(path, x)[0], transport(x), 1e-9)
    for n in (0, 1):
        assert ran(path, x[:n])[0].shape == (n, 3)


@pytest.mark.parametrize("suffix", slow_unless([".pt2", ".onnx"], [".pt2"]))
@pytest.mark.parametrize("name", slow_unless(SAVED, ["labels", "covariates"]))
def test_models_of_earlier_versions(name: str, suffix: str, tmp_path: Path) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
    ot, path = load(MODELS / name), tmp_path / f"map{suffix}"
    written = ot.export(path)
    assert written.difference is not None
    assert written.difference.error <= 1e-6
    x = torch.from_numpy(np.load(MODELS / name / "expected.npz")["x"]).double()
    given: dict[str, Any] = {}
    condition: list[Tensor] = []
    if name == "labels":
        numbers = torch.arange(len(x)) % len(ot.labels_ or ())
        given = {"labels": [(ot.labels_ or ())[k] for k in numbers.tolist()]}
        condition = [numbers]
    if name == "covariates":
        values = torch.linspace(0, 1, len(x), dtype=torch.float64).unsqueeze(-1)
        given, condition = {"covariates": values}, [values]
    assert_alike(ran(path, x, *condition)[0], ot.transform(x, **given), 1e-6)


@pytest.mark.parametrize("suffix", slow_unless([".pt2", ".onnx"], [".pt2"]))
@pytest.mark.parametrize("name", slow_unless(GROUNDS, ["log cosh", "unbalanced"]))
def test_costs_and_masses(name: str, suffix: str, tmp_path: Path) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
    plain = plain_coordinates(
        normal(50, 3) + 4, normal(50, 3, seed=1), torch.ones(3).double()
    )
    potential = randomised(Quadratic(3, bounded_below=True), 0.2)
    transport = TransportMap(potential, plain, ground=GROUNDS[name])
    path = tmp_path / f"map{suffix}"
    transport.export(path)
    x = rows(transport)
    moved = transport(x)
    assert float((moved - x).abs().max()) > 0.1
    assert_alike(ran(path, x)[0], moved, 1e-9)


def test_a_metric(tmp_path: Path) -> None:
    from fits import X, Y, quick

    from brenier import Mahalanobis

    ot = quick(cost=Mahalanobis([[2.0, 0.5], [0.5, 1.0]]), dtype="float64").fit(X, Y)
    ot.export(tmp_path / "map.pt2", dtype="float32")
    found = ran(tmp_path / "map.pt2", torch.from_numpy(X).float())[0]
    assert found.dtype == torch.float32
    assert_alike(found, ot.transform(X), 1e-6)


def test_data_far_from_zero_lose_no_digits_in_single_precision(tmp_path: Path) -> None:
    here = coordinates()
    shift = {name: getattr(here, name) + 1e4 for name in ("source_mean", "target_mean")}
    transport = TransportMap(
        MADE["residual celu"](), dataclasses.replace(here, **shift)
    )
    transport.export(tmp_path / "map.pt2", dtype="float32")
    x = rows(transport).float()
    expected = transport(x)
    assert expected.dtype == torch.float32
    (found,) = ran(tmp_path / "map.pt2", x)
    # Of numbers about 10,000 the last digit is 0.001.
    assert float((found - expected).abs().max()) <= 0.002 * 50


@pytest.mark.parametrize("name", slow_unless(["labels", "covariates"], ["labels"]))
def test_gradients_vanish_at_inverses(name: str, tmp_path: Path) -> None:
    ot, path = load(MODELS / name), tmp_path / "potential.pt2"
    ot.map_.tol = 1e-6
    assert ot.export(path, "potential").inputs[:2] == ("u", "z")
    z = torch.from_numpy(np.load(MODELS / name / "expected.npz")["z"]).double()
    if name == "labels":
        index = condition = torch.arange(len(z)) % 2
        given: Any = [ot.labels_[k] for k in index.tolist()]  # type: ignore[index]
    else:
        condition = torch.linspace(0, 1, len(z), dtype=torch.float64).unsqueeze(-1)
        given, index = condition, ot.map_.conditions.scaled(condition)
    x, solution = ot.map_.inverse(z, given, return_solution=True)
    u = ot.map_.conditions.side(index).encode_source(x)[:, : z.shape[1]]
    value, gradient, back, start = ran(path, u, z, condition)
    worked = (
        ~solution.failed if hasattr(solution, "failed") else solution.residual < 1e-5
    )
    assert int(worked.sum()) > len(z) // 2
    assert float(gradient[worked].abs().max()) < 1e-4
    torch.testing.assert_close(back, x)
    # The value at the minimum is below that at the start.
    assert bool((value <= ran(path, start, z, condition)[0] + 1e-6).all())


def test_a_file_tells_what_it_is(tmp_path: Path) -> None:
    load(MODELS / "labels").export(tmp_path / "map.pt2")
    extra = {"metadata.json": ""}
    torch.export.load(tmp_path / "map.pt2", extra_files=extra)
    told = json.loads(extra["metadata.json"])
    labels = load(MODELS / "labels").labels_ or ()
    assert told["labels"] == [
        list(each) if isinstance(each, tuple) else each for each in labels
    ]
    assert told["made_by"].startswith("brenier ")
    assert [each.split(":")[0] for each in told["inputs"]] == ["x", "label"]
    assert told["what"] == "map"
    assert told["dtype"] == "float64"


def test_onnx_files_run_elsewhere_and_tell_what_they_are(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    ot = load(MODELS / "labels")
    written = ot.export(tmp_path / "map.onnx")
    assert written.size == (tmp_path / "map.onnx").stat().st_size
    session = runtime.InferenceSession(str(tmp_path / "map.onnx"))
    told = session.get_modelmeta().custom_metadata_map
    assert len(json.loads(told["labels"])) == len(ot.labels_ or ())
    assert json.loads(told["opset"]) >= 18
    x = normal(20, ot.map_.dim)
    label = torch.zeros(20, dtype=torch.int64)
    found = ran(tmp_path / "map.onnx", x, label)[0]
    assert_alike(found, ot.transform(x, labels=(ot.labels_ or ())[0]), 1e-6)


# ---- what is refused


class Branching(Quadratic):
    """Looks at values."""

    def forward(self, x: Tensor) -> Tensor:
        value = super().forward(x)
        return value if float(value.max()) > 0 else -value


class Counting(Quadratic):
    """Takes the number of rows for one that is always the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.zeros(len(x), dtype=x.dtype)


@pytest.mark.parametrize("kind", [Branching, Counting])
def test_potentials_that_cannot_be_traced_are_named(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "map.pt2").write_bytes(b"before")
    with pytest.raises(DataError, match=rf"map of a {kind.__name__} cannot.*x\.shape"):
        TransportMap(kind(3)).export(tmp_path / "map.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["map.pt2"]
    assert (tmp_path / "map.pt2").read_bytes() == b"before"


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    transport = TransportMap(Quadratic(2))
    (tmp_path / "folder.onnx").mkdir()
    for path, fault in (
        ("map.pt", r"must end in \.onnx or \.pt2"),
        (tmp_path / "folder.onnx", "is a folder"),
        (3, "must be the path"),
    ):
        with pytest.raises(DataError, match=rf"^path: .*{fault}"):
            transport.export(path)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="nowhere"):
        transport.export(tmp_path / "nowhere" / "map.pt2")


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    transport = TransportMap(Quadratic(2))
    with pytest.raises(DataError, match=r"^what: 'gradient' is not known"):
        transport.export(tmp_path / "map.pt2", "gradient")
    with pytest.raises(DataError, match=r"^dtype: 'half' is not known"):
        transport.export(tmp_path / "map.pt2", dtype="half")
    elastic = TransportMap(Quadratic(2), ground=Ground(Elastic(0.1)))
    with pytest.raises(DataError, match=r"^what: .*Elastic.*kinks"):
        elastic.export(tmp_path / "map.pt2", "potential")


def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(DataError, match=r"need onnxscript.*brenier\[export\]"):
        TransportMap(Quadratic(2)).export(tmp_path / "map.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_nothing_here_runs_is_written_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.warns(DataWarning, match="was not compared with the map"):
        found = TransportMap(Quadratic(2)).export(tmp_path / "map.onnx")
    assert found.difference is None
    assert (tmp_path / "map.onnx").exists()


def test_a_file_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, other = (
        TransportMap(randomised(Quadratic(3), 0.5)),
        TransportMap(randomised(Quadratic(3), 0.5, 1)),
    )
    traced = export.traced
    of_other = export.Subject.of(other, "map", torch.float64).function()
    monkeypatch.setattr(
        export, "traced", lambda function, inputs: traced(of_other, inputs)
    )
    with pytest.raises(
        DataError, match=r"differs from the map by .* nothing was written"
    ):
        transport.export(tmp_path / "map.pt2")
    assert not list(tmp_path.iterdir())


def test_the_map_stays_as_it_was(tmp_path: Path) -> None:
    transport = TransportMap(randomised(Quadratic(3), 0.5).requires_grad_(True))
    network, before = transport.network, transport.network.training
    transport.export(tmp_path / "map.pt2")
    assert transport.network is network
    assert network.training is before
    assert all(part.requires_grad for part in network.parameters())
