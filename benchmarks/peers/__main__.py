"""The command `python -m benchmarks.peers`."""

from benchmarks.peers.race import main

if __name__ == "__main__":
    main()
