"""The command `python -m benchmarks.images`."""

from benchmarks.images.job import main

if __name__ == "__main__":
    main()
