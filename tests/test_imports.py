import subprocess
import sys

FOREIGN = ("flax", "optax", "orbax", "absl", "tensorflow_datasets", "matplotlib")


def test_losses_need_jax_and_numpy_alone(repository):
    script = (
        "import sys; import repr_jax.losses; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(run.stdout.split())
    assert {"jax", "numpy", "repr_jax"} <= loaded
    assert not loaded & set(FOREIGN)
