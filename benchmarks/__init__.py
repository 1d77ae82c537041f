"""One file per benchmark: problems, methods and seeds in, rows of JSON out, tables drawn from the rows alone."""
