"""Environments of other libraries."""

import pytest

from benchmarks.peers import environments


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(SystemExit, match=r"ott-jax, pot, not nobody"):
        environments.main(["nobody"])
