"""What the tests of losses share."""

import jax
import pytest


@pytest.fixture
def quick_compilation():
    """Compiles with few optimisations, for tests that do little else than compile."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
