"""The shape of the house, read from the source: who may import whom, how long, and in which words."""

import ast
import graphlib
import importlib
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import brenier

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "brenier"

# What each room may import, beside itself. A room is a folder of src/brenier, or of its folder transport, or a module.
# A room without a row imports nothing of the package.
ROWS: dict[str, set[str]] = {
    "model_files": {"errors", "atomic"},
    "solve": {"errors"},
    "potentials": {"errors"},
    "training": {"errors", "atomic", "statistics"},
    "datasets": {"errors", "atomic", "statistics", "transport.costs"},
    "metrics": {"errors", "statistics", "datasets"},
    "transport": {"transport.costs"},
    "transport.costs": {"errors"},
    "transport.coordinates": {"errors", "statistics", "datasets"},
    "transport.dual": {
        "errors",
        "statistics",
        "solve",
        "potentials",
        "training",
        "transport.costs",
    },
    "transport.maps": {
        *("errors", "atomic", "statistics", "solve", "potentials", "datasets"),
        *("transport.costs", "transport.coordinates", "transport.dual"),
        "model_files",
    },
    "control": {
        *("errors", "statistics", "solve", "potentials", "training", "model_files"),
    },
    "estimators": {
        *(
            "errors",
            "metrics",
            "statistics",
            "solve",
            "potentials",
            "training",
            "datasets",
        ),
        *("transport.costs", "transport.coordinates"),
        *("transport.dual", "transport.maps"),
    },
    "baselines": {
        *("errors", "model_files", "statistics", "solve", "potentials", "training"),
        "datasets",
        *("transport.costs", "transport.maps", "estimators"),
    },
    "report": {
        "errors",
        "atomic",
        "datasets",
        "model_files",
        "metrics",
        "statistics",
        "solve",
        "control",
        "estimators",
        "transport.coordinates",
        "transport.maps",
    },
    "apps": {
        *("errors", "atomic", "potentials", "training", "datasets"),
        *("transport.costs", "transport.dual", "transport.maps"),
        *("control", "estimators", "report"),
    },
    "__init__": {
        *("errors", "solve", "potentials", "training", "estimators", "report"),
        *(
            "transport.costs",
            "transport.coordinates",
            "transport.dual",
            "transport.maps",
        ),
    },
    "__main__": {"apps"},
}

LONGEST_SOURCE, LONGEST_TEST, LONGEST_FUNCTION = 350, 575, 70
MOST_ANY, HEAVIEST = (
    40,
    9.0,
)  # arguments typed Any, and nodes of syntax per line of code

# One word per idea: what is not said, and what is said instead.
WORDS = {
    **dict.fromkeys(
        ("n_iter", "n_iters", "num_iter", "num_iters", "niter", "n_steps", "num_steps"),
        "steps",
    ),
    **dict.fromkeys(
        ("max_iter", "max_iters", "maxiter", "maxit", "num_iter_max", "numItermax"),
        "max_steps",
    ),
    **dict.fromkeys(("stop_thr", "stopThr", "eps_tol", "tol_eps", "tolerance"), "tol"),
    **dict.fromkeys(("net", "model_g", "g_net", "phi_net", "critic"), "potential"),
    **dict.fromkeys(("lr", "lr_rate", "learn_rate"), "learning_rate"),
    **dict.fromkeys(("bs", "batchsize", "minibatch_size"), "batch_size"),
    **dict.fromkeys(("random_seed", "rand_seed", "rng_seed"), "seed"),
    **dict.fromkeys(("n_dim", "ndims", "n_dims", "input_dim", "in_dim"), "dim"),
    **dict.fromkeys(("nfev", "n_evals", "num_evals", "n_evaluations"), "evaluations"),
}

OPTIONAL = {
    *("pandas", "polars", "pyarrow", "PIL", "matplotlib", "ot", "torchdiffeq"),
    *("h5py", "zarr"),
    *("onnx", "onnxruntime", "onnxscript"),
    *("dask", "distributed"),
}
PRINTERS = {"apps", "__main__"}
GLOBAL_SEEDS = re.compile(
    r"(torch\.(random\.|cuda\.)?(manual_seed\w*|seed)|(np\.|numpy\.)?random\.seed)"
)
PRIVATE_PLACES = re.compile(
    r"(?<![\w.])/(?:work|home|root|opt|Users)/"  # a machine's folders
    r"|pypi\.\w|python(?:hosted)\.|/(?:whl)/|index[-_](?:url)\b|find[-_](?:links)\b",  # a registry's address
    re.IGNORECASE,
)


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name of a file of the package, below `brenier`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def room_of_module(module: str) -> str:
    """The room that a module, a folder or a name, below `brenier`, belongs to."""
    first, *rest = module.split(".")
    if first == "transport" and rest:
        return f"transport.{rest[0]}"
    return first


def room_of(path: Path) -> str:
    """The room that a file belongs to."""
    return room_of_module(module_of(path))


SOURCES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for path in python_files("src/brenier")
}
MODULES = {module_of(path) for path in SOURCES}


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
    inside = [
        name.removeprefix("brenier.")
        for name in imported_names(path, node)
        if name.startswith("brenier.")
    ]
    return {
        room_of_module(name) if name.split(".")[0] in TOP else "__init__"
        for name in inside
    }


TOP = {module.split(".")[0] for module in MODULES}


def arrows() -> Iterator[tuple[Path, ast.AST, str, str]]:
    """Every import that leaves a room: file, statement, importing room, imported room."""
    for path, node in everywhere(ast.Import, ast.ImportFrom):
        for room in sorted(imported_rooms(path, node)):
            if room != room_of(path):
                yield path, node, room_of(path), room


def package_of(path: Path, node: ast.ImportFrom, room: str) -> str:
    """The package that an import from a room takes names of: the one it names, else the room itself."""
    named = imported_names(path, node)[0].rpartition(".")[0]
    folder = PACKAGE.parent.joinpath(*named.split("."))
    return named if folder.is_dir() else f"brenier.{room}"


def statements_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at import: no function bodies, nothing that only type checkers read."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        typing_only = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(
            statement.test
        )
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


def names_defined(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines, but `__all__`."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    found = [
        part.id
        for target in targets
        for part in ast.walk(target)
        if isinstance(part, ast.Name)
    ]
    return [name for name in found if name != "__all__"]


def is_numeric(value: ast.expr | None) -> bool:
    """Whether an expression is a number, or a collection or sum that holds some."""
    if isinstance(value, ast.Constant):
        return isinstance(value.value, int | float) and not isinstance(
            value.value, bool
        )
    if isinstance(value, ast.UnaryOp):
        return is_numeric(value.operand)
    if isinstance(value, ast.BinOp):
        return is_numeric(value.left) and is_numeric(value.right)
    if isinstance(value, ast.Tuple | ast.List):
        return any(map(is_numeric, value.elts))
    return isinstance(value, ast.Dict) and any(map(is_numeric, value.values))


def exported(tree: ast.Module) -> bool:
    """Whether a module defines `__all__`."""
    return any(
        "__all__" in ast.unparse(node.targets[0])
        for node in tree.body
        if isinstance(node, ast.Assign)
    )


def code_lines(path: Path, tree: ast.Module) -> set[int]:
    """The lines of a file that are neither blank nor comments nor docstrings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    code = {
        number
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            code -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return code


def text_files() -> Iterator[tuple[Path, str]]:
    """Every text file that git keeps, or would keep if asked to add everything."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        found = subprocess.run(
            listing, cwd=ROOT, capture_output=True, check=True
        ).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    for path in (ROOT / name for name in found.split("\0") if name):
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" not in content:
            yield path, content.decode(errors="replace")


def export_order(name: str) -> tuple[int, str]:
    """The order ruff keeps: CONSTANTS, then Classes, then functions."""
    return (
        0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2,
        name,
    )


# ---- rooms and arrows


def test_imports_are_those_of_the_table() -> None:
    wrong = [
        f"{place(path, node)}: {importer} may not import {imported}"
        for path, node, importer, imported in arrows()
        if imported not in ROWS.get(importer, ())
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_has_no_stale_row_and_no_cycle() -> None:
    met = {(importer, imported) for _, _, importer, imported in arrows()}
    stale = [
        f"{room} -> {other}"
        for room, others in ROWS.items()
        for other in others
        if (room, other) not in met
    ]
    assert not stale, f"remove from ROWS: {', '.join(sorted(stale))}"
    assert len(ROWS) <= 18
    graphlib.TopologicalSorter(ROWS).prepare()


def test_few_modules_lie_in_the_root() -> None:
    assert sorted(
        module
        for module in MODULES
        if "." not in module and (PACKAGE / f"{module}.py").exists()
    ) == [
        *("__init__", "__main__", "atomic", "errors"),
    ]


def test_rooms_import_public_names_of_each_other() -> None:
    wrong = []
    for path, node, _, imported in arrows():
        if imported == "__init__" or not isinstance(node, ast.ImportFrom):
            continue
        package = package_of(path, node, imported)
        public = getattr(importlib.import_module(package), "__all__", None)
        wrong += [
            f"{place(path, node)}: {alias.name} is not in __all__ of {package}"
            for alias in node.names
            if public is not None and alias.name not in (*public, *TOP)
        ]
    assert not wrong, "\n".join(wrong)


def test_packages_say_what_is_public() -> None:
    silent = [
        place(path)
        for path in SOURCES
        if path.name == "__init__.py" and not exported(SOURCES[path])
    ]
    assert not silent, f"define __all__ in {', '.join(silent)}"


# ---- names and numbers


def test_no_name_is_defined_in_two_modules() -> None:
    places = defaultdict(list)
    for path, tree in SOURCES.items():
        for node in tree.body:
            for name in names_defined(node):
                places[name].append(place(path, node))
    twice = [
        f"{name}: {', '.join(found)}"
        for name, found in sorted(places.items())
        if len(found) > 1
    ]
    assert not twice, "\n".join(twice)


def test_numbers_are_fields_of_settings() -> None:
    wrong = []
    for path, tree in SOURCES.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in tree.body:
            number = isinstance(node, ast.Assign | ast.AnnAssign) and is_numeric(
                node.value
            )
            if number and "# numerical floor:" not in lines[node.lineno - 1]:
                wrong.append(f"{place(path, node)}: {' '.join(names_defined(node))}")
    assert not wrong, (
        "make these fields of a settings dataclass, or say why they are floors\n"
        + "\n".join(wrong)
    )


def test_few_arguments_are_of_any_type() -> None:
    found = [
        f"{place(path, node)}: {node.arg}"
        for path, node in everywhere(ast.arg)
        if node.annotation is not None
        and "Any" in re.findall(r"\w+", ast.unparse(node.annotation))
    ]
    assert len(found) <= MOST_ANY, "\n".join(found)


def test_lines_are_light() -> None:
    nodes = sum(1 for tree in SOURCES.values() for _ in ast.walk(tree))
    lines = sum(len(code_lines(path, tree)) for path, tree in SOURCES.items())
    assert nodes / lines < HEAVIEST, (
        f"{nodes / lines:.2f} nodes of syntax per line of code"
    )


# ---- lengths and words


def test_files_are_short() -> None:
    limits = dict.fromkeys(SOURCES, LONGEST_SOURCE)
    limits |= dict.fromkeys(
        python_files("tests", "benchmarks", "examples"), LONGEST_TEST
    )
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits
    }
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
        told = (
            inspect.getdoc(getattr(brenier, name)) or f"{name}("
        )  # what a dataclass says unasked
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
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_the_library_neither_prints_nor_asserts_nor_seeds() -> None:
    wrong = [
        f"{place(path, node)}: raise an error, do not assert"
        for path, node in everywhere(ast.Assert)
    ]
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
