"""What losses, estimators, metrics and models share; jax and numpy only."""
