"""Arrays in, a fitted NamedTuple out; then pure functions of the fit. jax and numpy."""
