"""`python -m brenier` is the command `brenier`."""

import sys

from brenier.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
