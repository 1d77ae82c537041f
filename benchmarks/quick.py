"""Every table of rivals in quick mode, one after the other: whether all commands still work, in minutes.

python -m benchmarks.quick

Rows are shown, not kept, and say nothing about methods: budgets are a second or so. Ends with the seconds of each
command and of all; a command that fails does not stop the others, and gives the exit status 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.harness.machine import ROOT

COMMANDS = (
    "rivals",
    "rivals --pairs tails clusters --dims 16",
    "conditional",
    "ncf",
)
# What reads the folder of BRENIER_DATA.
OF_DATA = ("rivals --pairs w2hd --dims 2 16", "physics", "images")


def main() -> None:
    known = "BRENIER_DATA" in os.environ
    taken: dict[str, float] = {}
    failed: list[str] = []
    for command in (*COMMANDS, *(OF_DATA if known else ())):
        name, *flags = command.split()
        words = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *flags]
        began = time.perf_counter()
        finished = subprocess.run(words, cwd=ROOT, check=False)
        taken[command] = time.perf_counter() - began
        if finished.returncode:
            failed.append(command)
    for command, seconds in taken.items():
        print(f"{command}: {seconds:.0f} s{', failed' if command in failed else ''}")
    if not known:
        print("BRENIER_DATA is not set: without the tables of w2hd, physics and images")
    print(f"all: {sum(taken.values()) / 60:.1f} min")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
