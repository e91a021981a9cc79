"""Studies of solvers: how depth, heads and width of a compiled network depend on the covariance."""
