"""Fashion-MNIST to MNIST, class by class: see `python -m benchmarks.images --help`."""
