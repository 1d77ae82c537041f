"""The command `python -m benchmarks.physics`."""

from benchmarks.physics.job import main

if __name__ == "__main__":
    main()
