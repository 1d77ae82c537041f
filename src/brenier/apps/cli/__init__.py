"""The command line."""

from brenier.apps.cli.parser import main

__all__ = ["main"]
