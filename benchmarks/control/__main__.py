"""The command `python -m benchmarks.control`."""

from benchmarks.control.study import main

if __name__ == "__main__":
    main()
