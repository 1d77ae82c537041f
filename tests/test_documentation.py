"""Every page and every example runs.

A page's ```python blocks run in order in one namespace, as a reader would type them, and warnings are errors.
A block after the comment `<!-- no-run -->` is only read. Examples run as programs, told to be quick.
"""

import os
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if page.exists()
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

BLOCK = re.compile(
    r"(?P<unrun>^[ ]*<!--\s*no-run\s*-->\s*\n)?"
    r"^(?P<indent>[ ]*)```python[^\n]*\n(?P<code>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


def blocks(text: str) -> Iterator[str]:
    """The blocks of a page that run, each on the lines where it stands, so that errors point at the page."""
    for block in BLOCK.finditer(text):
        if not block["unrun"]:
            yield "\n" * text.count("\n", 0, block.start("code")) + textwrap.dedent(
                block["code"]
            )


def name(path: Path) -> str:
    """What a page or an example is called in the list of tests."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real module, for classes that look up where they were made.
    reader = types.ModuleType("reader")
    monkeypatch.setitem(sys.modules, "reader", reader)
    monkeypatch.chdir(tmp_path)
    for code in blocks(page.read_text(encoding="utf-8")):
        exec(compile(code, str(page), "exec"), reader.__dict__)


def speed(example: Path) -> object:
    """An example, marked where it takes long."""
    slow = example.name in ("costs.py", "drift.py", "shapes.py", "single_cell.py")
    return pytest.param(example, marks=pytest.mark.slow) if slow else example


@pytest.mark.parametrize("example", list(map(speed, EXAMPLES)), ids=name)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(example)],
        cwd=tmp_path,
        env={**os.environ, "BRENIER_EXAMPLE_QUICK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"


def test_blocks_run_where_they_stand_unless_told_otherwise() -> None:
    page = "a\n```python\nx = 1\n```\n<!-- no-run -->\n```python\nx = 2\n```\n- b\n  ```python\n  y = x\n  ```\n"
    first, second = blocks(page)
    assert first == "\n\nx = 1\n"
    assert second.lstrip("\n") == "y = x\n"
    assert second.count("\n") == page[: page.index("y = x")].count("\n") + 1
