"""The command `python -m benchmarks.certificates`."""

from benchmarks.certificates.study import main

if __name__ == "__main__":
    main()
