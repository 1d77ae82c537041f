"""Pairs with known maps, by name and dimension, and the flags that choose them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from benchmarks.harness import Choice, Flag, Flags, choices, flag
from brenier.datasets import NEUTRAL, Pair, w2hd_pair

DIMS = (2, 16, 64)
MANIFOLD_DIMS = (50,)  # the surface has dimensions of its own
PAIRS: Mapping[str, Callable[[int], Pair]] = {"w2hd": w2hd_pair, **NEUTRAL}


def select(
    names: Iterable[str] = tuple(NEUTRAL),
    dims: Sequence[int] = DIMS,
    manifold_dims: Sequence[int] = MANIFOLD_DIMS,
) -> Iterator[Pair]:
    """Yield the pairs of these names, in these dimensions."""
    for name in names:
        for dim in manifold_dims if name == "manifold" else dims:
            yield PAIRS[name](dim)


def problem(pair: Pair) -> str:
    """Return the name of a pair in the rows."""
    return f"{pair.name} d={pair.dim}"


def pair_flags(default: Iterable[str], known: Iterable[str] = PAIRS) -> list[Flag]:
    """Return the flags `--pairs` and `--manifold-dims`."""
    manifold_dims = flag(
        "--manifold-dims",
        type=int,
        nargs="+",
        default=list(MANIFOLD_DIMS),
        metavar="D",
    )
    return [choices("--pairs", known, default), manifold_dims]


def problems(flags: Flags) -> Iterator[Choice]:
    """Yield the pairs that the flags choose; without `--manifold-dims` all have the dimensions of `--dims`."""
    manifold_dims = getattr(flags, "manifold_dims", flags.dims)
    for pair in select(flags.pairs, flags.dims, manifold_dims):
        yield Choice(problem(pair), pair, {"dim": pair.dim})
