"""What problems of control cost at best, by methods that share nothing with `brenier.control`.

`riccati` has linear-quadratic problems and closed forms; `optimum` finds open-loop optima with CasADi and IPOPT (the
extra `control-benchmarks`), of problems that `symbols` writes in symbols.
"""
