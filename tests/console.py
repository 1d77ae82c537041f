"""Running a command as the shell does."""

from typing import Any

from brenier.apps.cli import main


def run(capsys: Any, *words: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed on standard output and error."""
    code = main([*words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err
