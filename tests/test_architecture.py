"""The shape of the house, read from the source: who may import whom, how long, and in which words."""

import ast
import graphlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import brenier

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "brenier"

# From the ground up. A room, a module or a folder of src/brenier, imports itself and lower layers.
LAYERS = (
    {"errors"},
    {"solve", "costs", "potentials", "metrics", "gaussian", "regression", "samples", "atomic", "settings"},
    {"calibration", "conditions", "covariates", "conjugate", "convexity", "coordinates", "smoothing"},
    {"dual"},
    {"conditional", "distance", "evidence", "transport", "storage"},
    {"batches", "populations", "selection", "training", "run", "checkpoint"},
    {
        "validation",
        "processes",
        "learning",
        "fitting",
        "conditioned",
        "classwise",
        "covariatewise",
        "parameters",
        "estimator",
        "loading",
        "datasets",
        "colour",
    },
    {"report", "plots", "colouring", "cli", "commands", "demo"},
    {"__init__", "__main__"},
)

# And these rooms of its own layer: importer -> imported.
NEIGHBOURS: dict[str, set[str]] = {
    "metrics": {"gaussian", "samples"},
    "transport": {"distance", "evidence"},
    "conditions": {"coordinates"},
    "conditional": {"distance", "transport"},
    "storage": {"conditional", "distance", "transport"},
    "training": {"batches", "selection", "run"},
    "checkpoint": {"training", "run"},
    "learning": {"processes"},
    "fitting": {"learning"},
    "conditioned": {"learning"},
    "classwise": {"conditioned", "learning"},
    "covariatewise": {"conditioned", "learning"},
    "regression": {"gaussian"},
    "covariates": {"conditions", "coordinates"},
    "parameters": {"learning", "validation"},
    "estimator": {"classwise", "covariatewise", "fitting", "learning", "parameters", "validation"},
    "loading": {"estimator", "validation"},
    "colour": {"estimator"},
    "report": {"plots"},
    "colouring": {"report"},
    "demo": {"colouring", "report"},
    "commands": {"colouring", "report"},
    "cli": {"colouring", "commands", "demo"},
}

LONGEST_SOURCE, LONGEST_TEST, LONGEST_FUNCTION = 300, 400, 60

# One word per idea: what is not said, and what is said instead.
WORDS = {
    **dict.fromkeys(("n_iter", "n_iters", "num_iter", "num_iters", "niter", "n_steps", "num_steps"), "steps"),
    **dict.fromkeys(("max_iter", "max_iters", "maxiter", "maxit", "num_iter_max", "numItermax"), "max_steps"),
    **dict.fromkeys(("stop_thr", "stopThr", "eps_tol", "tol_eps", "tolerance"), "tol"),
    **dict.fromkeys(("net", "model_g", "g_net", "phi_net", "critic"), "potential"),
    **dict.fromkeys(("lr", "lr_rate", "learn_rate"), "learning_rate"),
    **dict.fromkeys(("bs", "batchsize", "minibatch_size"), "batch_size"),
    **dict.fromkeys(("random_seed", "rand_seed", "rng_seed"), "seed"),
    **dict.fromkeys(("n_dim", "ndims", "n_dims", "input_dim", "in_dim"), "dim"),
    **dict.fromkeys(("nfev", "n_evals", "num_evals", "n_evaluations"), "evaluations"),
}

OPTIONAL = {"pandas", "polars", "pyarrow", "PIL", "matplotlib", "ot"}
PRINTERS = {"cli", "commands", "demo", "__main__"}
GLOBAL_SEEDS = re.compile(r"(torch\.(random\.|cuda\.)?(manual_seed\w*|seed)|(np\.|numpy\.)?random\.seed)")
PRIVATE_PLACES = re.compile(
    r"(?<![\w.])/(?:work|home|root|opt|Users)/"  # a machine's folders
    r"|pypi\.\w|python(?:hosted)\.|/(?:whl)/|index[-_](?:url)\b|find[-_](?:links)\b",  # a registry's address
    re.IGNORECASE,
)


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def room_of(path: Path) -> str:
    """The module or folder directly below src/brenier that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in python_files("src/brenier")}
PRESENT = {room_of(path) for path in SOURCES}
LEVEL = {room: level for level, layer in enumerate(LAYERS) for room in layer}


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where something stands, as `file:line`."""
    line = getattr(node, "lineno", None)
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def everywhere(*kinds: type[ast.AST]) -> Iterator[tuple[Path, Any]]:
    """Every syntax node of these kinds in the package, with its file."""
    for path, tree in SOURCES.items():
        yield from ((path, node) for node in ast.walk(tree) if isinstance(node, kinds))


def imported_names(path: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The full dotted names that an import statement asks for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    package = ("brenier", *path.relative_to(PACKAGE).parent.parts)
    parents = package[: len(package) - node.level + 1] if node.level else ()
    stem = ".".join((*parents, *filter(None, [node.module])))
    return [f"{stem}.{alias.name}" for alias in node.names]


def imported_rooms(path: Path, node: ast.Import | ast.ImportFrom) -> set[str]:
    """The rooms of the package that an import enters; a name of `brenier` itself belongs to `__init__`."""
    parts = [name.split(".") for name in imported_names(path, node)]
    inside = [part[1] if len(part) > 1 else "__init__" for part in parts if part[0] == "brenier"]
    return {room if room in LEVEL or room in PRESENT else "__init__" for room in inside}


def may_import(importer: str, imported: str) -> bool:
    """Whether the arrow from one room to another points down, stays inside, or is listed."""
    down = LEVEL.get(imported, -1) < LEVEL.get(importer, len(LAYERS))  # rooms without a place fail elsewhere
    return importer == imported or down or imported in NEIGHBOURS.get(importer, ())


def statements_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at import: no function bodies, nothing that only type checkers read."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        typing_only = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
        for field in ("orelse", "finalbody", *([] if typing_only else ["body"])):
            yield from statements_at_import(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements_at_import(handler.body)


def names_given(node: ast.AST) -> list[str]:
    """The names a node introduces: parameters, variables, fields and attributes."""
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return [node.attr]
    return []


def text_files() -> Iterator[tuple[Path, str]]:
    """Every text file that git keeps, or would keep if asked to add everything."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        found = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    for path in (ROOT / name for name in found.split("\0") if name):
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" not in content:
            yield path, content.decode(errors="replace")


def export_order(name: str) -> tuple[int, str]:
    """The order ruff keeps: CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


# ---- rooms and arrows


def test_every_room_has_a_place() -> None:
    homeless = sorted(PRESENT - LEVEL.keys())
    assert not homeless, f"place these in LAYERS of {Path(__file__).name}: {', '.join(homeless)}"


def test_imports_point_down() -> None:
    wrong = [
        f"{place(path, node)}: {room_of(path)} may not import {room}"
        for path, node in everywhere(ast.Import, ast.ImportFrom)
        for room in sorted(imported_rooms(path, node))
        if not may_import(room_of(path), room)
    ]
    assert not wrong, "\n".join(wrong)


def test_neighbours_are_of_one_layer_and_in_one_direction() -> None:
    assert all(LEVEL[room] == LEVEL[other] for room, others in NEIGHBOURS.items() for other in others)
    graphlib.TopologicalSorter(NEIGHBOURS).prepare()


def test_the_solver_knows_nothing_of_transport() -> None:
    assert "solve" not in NEIGHBOURS
    assert [room for room in LEVEL if LEVEL[room] < LEVEL["solve"]] == ["errors"]


# ---- lengths and words


def test_files_are_short() -> None:
    limits = dict.fromkeys(SOURCES, LONGEST_SOURCE)
    limits |= dict.fromkeys(python_files("tests", "benchmarks", "examples"), LONGEST_TEST)
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits}
    wrong = [
        f"{place(path)}: {lengths[path]} lines, {limit} at most"
        for path, limit in limits.items()
        if lengths[path] > limit
    ]
    assert not wrong, "\n".join(wrong)


def test_functions_are_short() -> None:
    wrong = [
        f"{place(path, node)}: {node.name} has {length} lines, {LONGEST_FUNCTION} at most"
        for path, node in everywhere(ast.FunctionDef, ast.AsyncFunctionDef)
        if (length := node.end_lineno - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not wrong, "\n".join(wrong)


def test_one_word_per_idea() -> None:
    wrong = [
        f"{place(path, node)}: say {WORDS[name]}, not {name}"
        for path, node in everywhere(ast.arg, ast.Name, ast.Attribute)
        for name in names_given(node)
        if name in WORDS
    ]
    assert not wrong, "\n".join(wrong)


# ---- the public surface


def test_public_names_are_sorted_exist_and_are_told() -> None:
    assert brenier.__all__ == sorted(set(brenier.__all__), key=export_order)
    for name in brenier.__all__:
        told = inspect.getdoc(getattr(brenier, name)) or f"{name}("  # what a dataclass says unasked
        assert not told.startswith(f"{name}("), f"{name} has no docstring of its own"


def test_star_import_gives_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from brenier import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(brenier.__all__)


# ---- what the library leaves alone


def test_optional_dependencies_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{place(path, node)}: import {name} inside the function that needs it"
        for path, tree in SOURCES.items()
        for node in statements_at_import(tree.body)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(path, node)
        if name.split(".")[0] in OPTIONAL
    ]
    assert not wrong, "\n".join(wrong)


def test_the_library_is_imported_without_any_optional_dependency() -> None:
    # Hidden rather than looked for afterwards, since scikit-learn loads pandas where there is one.
    program = f"import sys; sys.modules.update(dict.fromkeys({sorted(OPTIONAL)})); import brenier"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_the_library_neither_prints_nor_asserts_nor_seeds() -> None:
    wrong = [f"{place(path, node)}: raise an error, do not assert" for path, node in everywhere(ast.Assert)]
    for path, node in everywhere(ast.Call):
        called = ast.unparse(node.func)
        if called == "print" and room_of(path) not in PRINTERS:
            wrong.append(f"{place(path, node)}: the library does not print")
        if GLOBAL_SEEDS.fullmatch(called):
            wrong.append(f"{place(path, node)}: pass a generator, do not call {called}")
    assert not wrong, "\n".join(wrong)


def test_no_file_names_a_machine_or_a_registry() -> None:
    wrong = [
        f"{place(path)}:{number}: {line.strip()[:80]}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if PRIVATE_PLACES.search(line)
    ]
    assert not wrong, "\n".join(wrong)
