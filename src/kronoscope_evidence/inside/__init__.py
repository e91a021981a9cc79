"""Studies of trained networks: whether the covariance can be read from their Jacobians, attention and values."""
