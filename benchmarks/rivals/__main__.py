"""Runs the table of all methods on pairs with known maps."""

from benchmarks.rivals.accuracy import main

if __name__ == "__main__":
    main()
