"""What the commands of `brenier` do; each returns its exit code. `brenier.cli` parses their arguments."""

from brenier.commands.colour import colour
from brenier.commands.evaluate import evaluate
from brenier.commands.fit import fit
from brenier.commands.info import info
from brenier.commands.transport import transport

__all__ = ["colour", "evaluate", "fit", "info", "transport"]
