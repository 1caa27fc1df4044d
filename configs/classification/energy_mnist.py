"""The energy score on MNIST: does it tell 8 and 9 from the digits it was trained on?

python -m repr_jax.main --config=configs/classification/energy_mnist.py \
    --workdir=runs/energy
Published with other networks and data.
Expect: not yet run.
"""

from configs.classification import supervised_mnist
from repr_jax.data import mnist
from repr_jax.evaluators import outliers
from repr_jax.ops import uncertainty


def get_config(mode=""):
    config = supervised_mnist.get_config(mode)
    config.evals.outliers = dict(
        fn=outliers.evaluate,
        scores=dict(energy=dict(fn=uncertainty.energy, temperature=1.0)),
        outliers=dict(near=dict(fn=mnist.digits, classes=(8, 9))),
    )
    return config
