"""Files that are not what was saved: damaged, swapped, made up, or no files at all; the same ones for the same seed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brenier.model_files import digest_of

Files = dict[str, bytes]

LONGEST_SECONDS, MOST_MEMORY = 20, 2**30

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 64, 10**6, 10**10, 2**63, 10**40, -(10**300)),
    *(0.0, 0.5, -2.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")),
    *("", "x", "weights-0.safetensors", "../../etc/passwd", "\ud800", "\0", "9" * 400),
    *("float32", "float64", "int8", "Quadratic", "BFGS", "minimise", "LineSearch"),
    *([], {}, [[]], [1, 2], ["a", "a"], {"class": "DenseICNN", "config": {}}, {"": 0}),
    *([[0.0]] * 5, [float("nan")], list(range(1000)), [10**9] * 3, {"mean": []}),
)


class TooLongError(BaseException):
    """Something waits, or takes for ever."""


@contextmanager
def bounded() -> Iterator[None]:
    """Stop what takes longer than it may."""

    def stop(*_: object) -> None:
        raise TooLongError(f"more than {LONGEST_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak_memory() -> int:
    """The most memory this process has had, in bytes."""
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


# ---- bytes


def flip(rng: random.Random, content: bytes) -> bytes:
    """Some bits the other way round."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 20))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, content: bytes) -> bytes:
    """The first part."""
    return content[: rng.choice((0, 1, 7, 8, 9, rng.randrange(len(content)), -1))]


def lengthen(rng: random.Random, content: bytes) -> bytes:
    """More at the end, or the same twice."""
    return content + rng.choice((b"\0", b" ", b"}", content, rng.randbytes(100)))


def splice(rng: random.Random, content: bytes) -> bytes:
    """A stretch left out, put in, zeroed or repeated."""
    first, last = sorted(rng.randrange(len(content)) for _ in range(2))
    last = min(last, first + rng.choice((1, 8, 100, 10_000)))
    middle = rng.choice(
        (b"", bytes(last - first), content[first:last] * 2, rng.randbytes(last - first))
    )
    return content[:first] + middle + content[last:]


def nest(rng: random.Random, content: bytes) -> bytes:
    """Brackets upon brackets."""
    deep = rng.choice((500, 5_000, 500_000))
    opened = rng.choice((b"[", b'{"a":'))
    return rng.choice((opened * deep, b"[" * deep + b"]" * deep))


BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(flip, flip, cut, lengthen, splice, nest),
)


# ---- JSON


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a value."""
    if isinstance(value, dict):
        steps: Any = value.items()
    elif isinstance(value, list):
        steps = list(enumerate(value))[:8]
    else:
        return
    for key, inner in steps:
        yield (*path, key)
        yield from places(inner, (*path, key))


def change(rng: random.Random, value: Any) -> Any:
    """The same with something replaced, deleted, repeated or added, somewhere inside."""
    value = json.loads(json.dumps(value))
    chosen = sorted(places(value), key=str)
    # A record has many places: what is at the top is changed as often.
    tops = [path for path in chosen if len(path) == 1]
    path = rng.choice(tops if rng.random() < 0.2 else chosen)
    owner = value
    for key in path[:-1]:
        owner = owner[key]
    action = rng.random()
    if action < 0.15:
        del owner[path[-1]]
    elif action < 0.25 and isinstance(owner, list):
        owner.append(rng.choice((rng.choice(VALUES), owner[path[-1]])))
    elif action < 0.3 and isinstance(owner, dict):
        owner[f"{path[-1]}2"] = owner[path[-1]]
    elif action < 0.4 and isinstance(owner[path[-1]], int | float):
        factor = rng.choice((-1, 2, 10, 1e6, 1e30, 0.5))
        owner[path[-1]] = type(owner[path[-1]])(owner[path[-1]] * factor)
    else:
        owner[path[-1]] = rng.choice(VALUES)
    return value


def signed(description: Mapping[str, Any]) -> bytes:
    """A description with a checksum that fits."""
    told = {key: value for key, value in description.items() if key != "sha256"}
    return json.dumps({**told, "sha256": digest_of(told)}).encode()


# ---- what is no file


def become(path: Path, kind: str) -> None:
    """Put something else in the place of a file."""
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = Path.cwd()
            os.chdir(path.parent)  # the address of a socket is short
            try:
                server.bind(path.name)
            finally:
                os.chdir(here)
    elif kind == "huge":
        with path.open("wb") as file:
            file.write(content)
            file.truncate(40 * 2**30)
    elif kind == "link":
        kept = path.with_name(f"{path.name}-kept")
        kept.write_bytes(content)
        path.symlink_to(kept)
    else:
        path.symlink_to(kind)


KINDS = (
    *("pipe", "folder", "socket", "huge", "link", "none", "/dev/zero", "/dev/null"),
    *("/dev/stdin", "/proc/self/mem"),
)


# ---- how it ends


def write(folder: Path, files: Files) -> None:
    """Put files into a folder, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


class Outcome:
    """How many files were refused and how many taken, and the longest it took."""

    def __init__(self) -> None:
        self.refused, self.taken, self.longest = 0, 0, 0.0
        self.began, self.memory = time.perf_counter(), peak_memory()

    def count(self, taken: bool, seconds: float) -> None:
        """Count one."""
        self.taken += taken
        self.refused += not taken
        self.longest = max(self.longest, seconds)

    def check(self) -> str:
        """Assert that nothing took too much, and tell all figures."""
        grown = peak_memory() - self.memory
        assert grown < MOST_MEMORY
        assert self.longest < LONGEST_SECONDS
        return (
            f"{self.refused + self.taken} mutations: {self.refused} refused, {self.taken} taken, the longest "
            f"{self.longest:.2f} s, {grown / 2**20:.0f} MiB more, {time.perf_counter() - self.began:.0f} s in all"
        )
