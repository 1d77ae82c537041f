"""What the commands of `brenier` do; each returns its exit code. `brenier.apps.cli.parser` parses their arguments."""

from brenier.apps.cli.bulk import transport_files
from brenier.apps.cli.certify import certify
from brenier.apps.cli.colour import colour
from brenier.apps.cli.control import control
from brenier.apps.cli.drift import drift_command
from brenier.apps.cli.evaluate import evaluate
from brenier.apps.cli.export import export
from brenier.apps.cli.fit import fit
from brenier.apps.cli.info import info

__all__ = [
    "certify",
    "colour",
    "control",
    "drift_command",
    "evaluate",
    "export",
    "fit",
    "info",
    "transport_files",
]
