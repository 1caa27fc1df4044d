"""What `make test` leaves to `make test-all`."""

import pytest


def slow_unless(quick, values):
    """Values of a parameter, of which those that are not quick are in the slow lane."""
    return [
        x if x in quick else pytest.param(x, marks=pytest.mark.slow) for x in values
    ]
