"""Flax linen modules: `init` makes parameters, `apply` uses them, no loss inside."""
