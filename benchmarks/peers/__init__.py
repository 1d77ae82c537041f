"""Other libraries beside this one, each in an environment of its own; see `python -m benchmarks.peers --help`."""
