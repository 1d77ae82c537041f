"""Physics tables and image patches from a normal sample, and back: see `python -m benchmarks.physics --help`."""
