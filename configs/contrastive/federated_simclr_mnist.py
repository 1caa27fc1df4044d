"""SimCLR on MNIST by five clients with few classes each, whose networks are averaged.

python -m repr_jax.main --config=configs/contrastive/federated_simclr_mnist.py \
    --workdir=runs/federated_simclr
Network, views and batches are those of configs/contrastive/simclr_mnist.py, the
temperature is FedX's. A step is a round: 20 updates of each client on 128 of its rows.
Expect: not yet run.
"""

import optax

from configs.contrastive import simclr_mnist
from experiments import federated, two_view
from repr_jax import losses, optim
from repr_jax.data import splits


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    by_clients(config, mode)
    config.experiment = federated.make
    config.client = two_view.make
    config.loss = dict(fn=losses.nt_xent, temperature=0.1)
    return config


def by_clients(config, mode, *, alpha=0.5):
    """Deals the config's rows out to clients; `alpha` is FedX's."""
    smoke = mode == "smoke"
    config.num_clients = 2 if smoke else 5
    config.local_steps = 2 if smoke else 20
    rows = 8 if smoke else 128  # of a client in a local step
    config.batch_size = config.num_clients * config.local_steps * rows
    config.num_steps = 2 if smoke else 50  # rounds
    config.log_every = 1
    config.checkpoint_every = 1 if smoke else 10
    config.dataset = dict(
        fn=splits.clients,
        dataset=config.dataset.to_dict(),
        num_clients=config.get_ref("num_clients"),
        alpha=alpha,
        seed=config.get_ref("seed"),
    )
    config.local_optimizer = dict(fn=optim.adam, learning_rate=1e-3)  # anew each round
    config.optimizer = dict(fn=optax.sgd, learning_rate=1.0)  # of 1: the mean itself
