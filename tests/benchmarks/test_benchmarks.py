"""The machinery of the benchmarks: rows that are never lost, tables drawn from rows alone, and problems that agree."""

import gc
import json
import math
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    gaussians,
    inner,
    limits,
    machine,
    neutral,
    rows,
    scores,
    tables,
)
from benchmarks.rows import Ledger, Row
from benchmarks.tables import Column, Table
from brenier import DenseICNN, Quadratic, TransportMap
from brenier.datasets import gaussian_pair, separable_pair
from brenier.solve import LBFGS
from brenier.transport.coordinates.affine import Coordinates, gaussian_coordinates

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path, ("--dims", "2"))


def raiser() -> dict[str, float]:
    raise RuntimeError(f"no luck in {ROOT}/somewhere")


# ---- rows


def test_a_row_carries_numbers_settings_and_provenance(ledger: Ledger) -> None:
    ledger.record("p", "m", 3, lambda: {"error": 0.5, "selected": "network"}, dim=2)
    (row,) = rows.read(ledger.path)
    assert (row.benchmark, row.problem, row.method, row.seed, row.status) == (
        "trial",
        "p",
        "m",
        3,
        "ok",
    )
    assert row.numbers == {"error": 0.5, "selected": "network"}
    assert row.settings == {"dim": 2}
    told = {
        "date",
        "commit",
        "command",
        "python",
        "torch",
        "numpy",
        "brenier",
        "processor",
        "cores",
        "threads",
    }
    told |= {"memory_gib", "wall_seconds", "peak_memory_mib"}
    assert told <= row.provenance.keys()
    assert row.provenance["command"] == "python -m benchmarks.trial --dims 2"
    assert row.provenance["peak_memory_mib"] > 10


def test_rows_are_appended_and_the_last_of_a_key_counts(ledger: Ledger) -> None:
    for error, seed in ((1.0, 0), (2.0, 1), (3.0, 0)):
        ledger.record("p", "m", seed, partial(dict, error=error))
    assert [row.numbers["error"] for row in rows.read(ledger.path)] == [1.0, 2.0, 3.0]
    assert [row.numbers["error"] for row in rows.latest(rows.read(ledger.path))] == [
        3.0,
        2.0,
    ]


@pytest.mark.parametrize(
    ("measure", "status", "message"),
    [
        (raiser, "failed", "RuntimeError: no luck in ./somewhere"),
        (lambda: {"error": math.nan, "w2": 1.0}, "non-finite", "not finite: error"),
        (
            lambda: {"error": 0.1, "unconverged": 7},
            "unconverged",
            "7 inner problems did not converge",
        ),
    ],
)
def test_failures_are_rows(ledger: Ledger, measure, status: str, message: str) -> None:
    row = ledger.record("p", "m", 0, measure)
    assert (row.status, row.message) == (status, message)
    assert rows.read(ledger.path) == [row]
    assert "NaN" not in ledger.path.read_text()


def test_warnings_are_kept_once_each(ledger: Ledger) -> None:
    def measure() -> dict[str, float]:
        for _ in range(2):
            warnings.warn("careful", UserWarning, stacklevel=1)
        return {}

    assert ledger.record("p", "m", 0, measure).warnings == ["careful"]


def test_rows_of_several_writers_do_not_mix(ledger: Ledger) -> None:
    row = Row("trial", "p", "m", 0, "ok", "", [], {"text": "x" * 5000}, {}, {})

    def write() -> None:
        for _ in range(20):
            rows.append(ledger.path, row)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert rows.read(ledger.path) == [row] * 80


def test_a_line_that_is_no_row_is_named(ledger: Ledger) -> None:
    ledger.path.write_text('{"benchmark": "trial"}\n')
    with pytest.raises(ValueError, match=r"trial.jsonl, line 1: is not a row"):
        rows.read(ledger.path)
    assert rows.read(ledger.folder / "absent.jsonl") == []


def test_no_row_tells_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRENIER_DATA", "/somewhere/private")
    told = machine.without_folders(
        f"{ROOT}/x /somewhere/private/y {sys.base_prefix}/z {Path.home()}/a"
    )
    assert told == "./x $BRENIER_DATA/y $PREFIX/z ~/a"


def test_peak_memory_sees_what_was_used() -> None:
    if not machine.reset_peak():
        pytest.skip("this system cannot reset the peak")
    gc.collect()  # what other tests left may not go while the block is there
    before = machine.memory()
    block = np.ones(2**24)  # 128 MiB
    del block
    assert 120 < machine.peak_memory() - before < 200


# ---- tables


def some_rows(ledger: Ledger) -> list[Row]:
    for seed, error in ((0, 1.0), (1, 2.0), (2, 6.0)):
        ledger.record(
            "d=2", "good", seed, partial(dict, error=error, met=error < 5), dim=2
        )
    ledger.record("d=16", "bad", 0, raiser, dim=16)
    return rows.read(ledger.path)


def test_a_table_is_drawn_from_rows_alone(ledger: Ledger) -> None:
    columns = (
        Column("error", "error", ".2f"),
        Column("worst", "error", ".1f", max),
        Column("met", "met"),
    )
    drawn = Table("t", "trial", columns).draw(some_rows(ledger)).splitlines()
    assert drawn[0] == "| problem | method | seeds | error | worst | met | status |"
    assert drawn[2] == "| d=2 | good | 3 | 2.00 | 6.0 | no | ok |"
    assert (
        drawn[3]
        == "| d=16 | bad | 1 | – | – | – | failed: RuntimeError: no luck in ./somewhere |"
    )
    assert drawn[-1].startswith("*4 rows of `results/trial.jsonl`")


def test_a_group_shows_its_failures(ledger: Ledger) -> None:
    ledger.record("p", "m", 0, lambda: {"error": 1.0})
    ledger.record("p", "m", 1, raiser)
    line = (
        Table("t", "trial", (Column("error", "error"),))
        .draw(rows.read(ledger.path))
        .splitlines()[2]
    )
    assert (
        line
        == "| p | m | 2 | 1 | 1 of 2 ok; failed: RuntimeError: no luck in ./somewhere |"
    )


def test_one_line_per_seed_where_asked(ledger: Ledger) -> None:
    drawn = Table(
        "t",
        "trial",
        (Column("error", "error"),),
        lambda row: row.seed < 2,
        by_seed=True,
    )
    assert len(drawn.draw(some_rows(ledger)).splitlines()) == 2 + 3 + 2


def test_tables_go_between_their_markers(ledger: Ledger, tmp_path: Path) -> None:
    table = Table("t", "trial", (Column("error", "error"),))
    readme = tmp_path / "README.md"
    readme.write_text("above\n<!-- table:t -->\nold\n<!-- /table -->\nbelow\n")
    tables.update([table], tmp_path, readme)
    assert "No rows yet" in readme.read_text()
    some_rows(ledger)
    for _ in range(2):  # drawing twice changes nothing
        tables.update([table], tmp_path, readme)
    text = readme.read_text()
    assert text.startswith("above\n<!-- table:t -->\n\n| problem")
    assert text.endswith("<!-- /table -->\nbelow\n")
    assert "old" not in text
    with pytest.raises(ValueError, match=r"table:t: its markers occur 0 times"):
        tables.fill("", {"t": ""})


def test_tables_of_every_benchmark_are_drawn() -> None:
    folder = Path(tables.__file__).parent
    files = [
        path.relative_to(folder)
        for path in folder.rglob("*.py")
        if "\nTABLES = (" in path.read_text()
    ]
    assert sorted(".".join(path.with_suffix("").parts) for path in files) == sorted(
        tables.BENCHMARKS
    )


def test_the_readme_has_room_for_every_table_and_agrees_with_the_rows(
    tmp_path: Path,
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(tables.README.read_text())
    tables.update(tables.every(), readme=readme)
    assert readme.read_text() == tables.README.read_text(), (
        "run `python -m benchmarks.tables`"
    )


# ---- what the benchmarks compute


def stretched(
    dim: int, generator: torch.Generator
) -> tuple[Coordinates, torch.Tensor, torch.Tensor]:
    """Coordinates that stretch and turn, and the samples they come from."""
    x, z = (torch.randn(500, dim, generator=generator).double() for _ in range(2))
    x, z = (
        x @ torch.diag(torch.linspace(0.5, 2, dim).double()) + 1,
        z @ torch.randn(dim, dim, generator=generator).double(),
    )
    return gaussian_coordinates(x, z, torch.full((dim,), 2.0).double()), x, z


def scale_of(view: inner.View) -> float:
    assert isinstance(view.potential, inner.Plain)
    return view.potential.scale


def test_the_plain_view_is_the_same_map(generator: torch.Generator) -> None:
    coordinates, x, z = stretched(3, generator)
    network = DenseICNN(3, convex=True, generator=generator).requires_grad_(False)
    transport = TransportMap(network, coordinates, tol=1e-6)
    view = inner.plain_view(transport, x, z)
    scale = scale_of(view)
    a = (scale * (x - coordinates.source_mean) / coordinates.unit).float()
    moved = (
        a + view.potential.gradient(a)
    ).double() / scale * coordinates.unit + coordinates.target_mean
    torch.testing.assert_close(moved, transport(x), rtol=1e-3, atol=1e-3)
    solution = inner.solve(view, LBFGS(), 500, tol=1e-4)
    assert not solution.unconverged
    torch.testing.assert_close(
        view.decode_source(solution.point), transport.inverse(z), rtol=1e-2, atol=1e-2
    )
    again = inner.library_view(transport, z)
    points = again.decode_source(inner.solve(again, LBFGS(), 500, tol=1e-4).point)
    torch.testing.assert_close(points, transport.inverse(z), rtol=1e-2, atol=1e-2)


def test_the_plain_view_has_unit_variance(generator: torch.Generator) -> None:
    coordinates, x, z = stretched(3, generator)
    view = inner.plain_view(TransportMap(Quadratic(3), coordinates), x, z)
    a = scale_of(view) * (x - coordinates.source_mean) / coordinates.unit
    assert float(a.square().mean() + view.z.square().mean()) == pytest.approx(
        2, rel=1e-5
    )


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script:DeprecationWarning"
)  # of torch, when it first differentiates
def test_the_plain_wrapper_agrees_with_automatic_differentiation(
    generator: torch.Generator,
) -> None:
    network = DenseICNN(3, generator=generator).double()
    torch.nn.init.normal_(network.readout, generator=generator)
    potential = inner.Plain(
        network, torch.randn(3, 3, generator=generator).double(), 1.7
    )
    a, v = (torch.randn(5, 3, generator=generator).double() for _ in range(2))
    value, gradient = potential.value_and_gradient(a)
    a.requires_grad_()
    torch.testing.assert_close(value, potential(a))
    (expected,) = torch.autograd.grad(potential(a).sum(), a, create_graph=True)
    torch.testing.assert_close(gradient, expected)
    (product,) = torch.autograd.grad(expected, a, v)
    torch.testing.assert_close(potential.hessian_product(a.detach(), v), product)


def test_the_plain_wrapper_of_an_affine_map_is_known(
    generator: torch.Generator,
) -> None:
    matrix, factor = (
        torch.tensor([[2.0, 0.5], [0.5, 1.0]]),
        torch.randn(2, 2, generator=generator),
    )
    potential = inner.Plain(Quadratic(2, matrix), factor, 1.5).requires_grad_(False)
    a = torch.randn(4, 2, generator=generator)
    moved = a + potential.value_and_gradient(a)[1]
    torch.testing.assert_close(moved, a @ (1.5**2 * factor.T @ matrix @ factor))


def test_the_floor_is_the_affine_map_between_moments(
    generator: torch.Generator,
) -> None:
    pair = gaussian_pair(4, seed=1)
    errors = []
    for n in (2_000, 32_000):
        x, z = pair.source(n, generator), pair.target(n, generator)
        source_mean, target_mean, matrix = gaussians.plug_in(x, z)
        moved = target_mean + (x.double().numpy() - source_mean) @ matrix
        np.testing.assert_allclose(
            np.cov(moved.T), np.cov(z.double().numpy().T), atol=1e-10
        )
        np.testing.assert_allclose(matrix, matrix.T)
        errors.append(gaussians.floor(pair, x, z, 2000, 0)["forward_floor"])
    assert errors[1] == pytest.approx(errors[0] / 16, rel=1.5)  # falls like 1 / n


def test_the_true_map_scores_zero(generator: torch.Generator) -> None:
    pair = gaussian_pair(3, seed=2)
    matrix = pair.forward(torch.eye(3, dtype=torch.float64))
    transport = TransportMap(Quadratic(3, matrix).requires_grad_(False), tol=1e-9)
    found = scores.score(transport, pair, 1000, 0)
    assert found["forward_uvp"] < 1e-20
    assert found["backward_uvp"] < 1e-10
    assert found["cosine"] == pytest.approx(1)
    assert found["round_trip"] < 1e-6
    assert found["unconverged"] == 0


def test_what_the_worst_rows_carry() -> None:
    truth = torch.zeros(200, 3, dtype=torch.float64)
    moved = truth.clone()
    moved[:, 0], moved[[3, 70, 150], 1] = (
        1.0,
        4.0,
    )  # the worst two of 200 rows are two of three alike
    assert scores.carried_by_worst(moved, truth) == pytest.approx(
        2 * 17 / (200 + 3 * 16)
    )
    assert scores.carried_by_worst(truth, truth) == 0


def test_the_neutral_pairs_are_chosen_by_name_and_dimension() -> None:
    assert [
        neutral.problem(pair) for pair in neutral.choose(("tails", "manifold"))
    ] == [
        "tails d=2",
        "tails d=16",
        "tails d=64",
        "manifold d=50",
    ]
    assert [
        pair.dim for pair in neutral.choose(("manifold", "tails"), (3,), (4, 5))
    ] == [4, 5, 3]


def test_the_affine_map_is_exact_between_gaussians() -> None:
    found = neutral.affine(gaussian_pair(3, seed=2), samples=20_000, n=1000, seed=0)
    assert 0 < found["affine_forward_uvp"] < 0.1
    assert 0 < found["affine_backward_uvp"] < 0.1


def test_what_fresh_points_are(generator: torch.Generator) -> None:
    pair = separable_pair(2)
    x, truth, z, preimage = scores.fresh(pair, 100, 0)
    assert pair.backward is not None
    torch.testing.assert_close(pair.backward(truth), x)
    torch.testing.assert_close(pair.backward(z), preimage)
    assert not torch.isclose(x, preimage).all(-1).any()


def test_how_far_j_is_above_its_minimum() -> None:
    one, zero, eye = (
        torch.ones(2).double(),
        torch.zeros(2).double(),
        torch.eye(2).double(),
    )
    plain = Coordinates(one, zero, zero, eye, eye, one[0])
    flat = TransportMap(
        Quadratic(2, 1.5 * torch.eye(2)), plain
    )  # its squared error counts 1/1.5 in J everywhere
    pair = separable_pair(2)
    found = limits.above(flat, pair, 500, 0)
    x, truth, _, _ = scores.fresh(pair, 500, 0)
    assert found["weight"] == pytest.approx(1 / 1.5, rel=1e-4)
    assert found["excess"] == pytest.approx(
        float((1.5 * x - truth).square().sum(-1).mean()) / 3, rel=1e-4
    )


def test_the_balance_of_a_linear_map() -> None:
    pair = gaussian_pair(3, seed=2)
    steep = torch.linalg.eigvalsh(pair.forward(torch.eye(3).double()))
    expected = (
        (1 / steep).sum() * pair.variance_target / (steep.sum() * pair.variance_source)
    )
    assert limits.balance(pair, 10, 0)["balance"] == pytest.approx(float(expected))


# ---- the commands


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "ablation --pairs tails",
        "conditional",
        "cost",
        "finite --pairs tails",
        "gaussians",
        "gaussians --methods default paper --minutes 1",
        "gaussians --stream --methods default paper",
        "inner --pair separable",
        "limits --pairs tails",
        "neutral",
        "parametrisation",
        "peers --pairs tails --peers brenier pot",
        "processes",
        "throughput",
        "tolerance",
        "w2hd --pair separable",
    ],
)
def test_a_quick_run_works(command: str, tmp_path: Path) -> None:
    name, *flags = command.split()
    arguments = [
        sys.executable,
        "-m",
        f"benchmarks.{name}",
        "--quick",
        *flags,
        "--out",
        str(tmp_path),
    ]
    finished = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"
    found = [
        json.loads(line)
        for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()
    ]
    assert found
    failures = [
        f"{row['problem']}, {row['method']}: {row['message']}"
        for row in found
        if row["status"] == "failed"
    ]
    assert not failures, "\n".join(failures)
    assert "| status |" in finished.stdout
