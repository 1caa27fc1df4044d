"""FedX on MNIST: `federated_simclr_mnist`, with knowledge of the shared network.

python -m repr_jax.main --config=configs/contrastive/fedx_mnist.py \
    --workdir=runs/fedx
Temperatures are those of the published script; the predictor has its form, a hidden
layer, and is narrower. A local step sees two views of 64 rows, and 64 others.
Expect: not yet run.
"""

from configs.contrastive import federated_simclr_mnist
from experiments import federated
from repr_jax import losses
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    config = federated_simclr_mnist.get_config(mode)
    del config.client
    config.experiment = federated.make_relational
    width = 4 if mode == "smoke" else 64  # of projections
    config.predictor = dict(fn=MLP, widths=(width, width))
    config.relations = dict(
        fn=losses.relational_js, temperature=0.1, target_temperature=0.1
    )
    return config
