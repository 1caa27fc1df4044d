"""FedLabel on MNIST: five clients, of whose labels a tenth is known.

python -m repr_jax.main --config=configs/classification/fedlabel_mnist.py \
    --workdir=runs/fedlabel
Network, augmentations, rates and the threshold, FixMatch's, are ours; so is which of
both networks labels, the surer one. A step is a round: 20 updates of each client.
Expect: not yet run.
"""

from configs.classification import labels_mnist
from configs.contrastive.federated_simclr_mnist import by_clients
from experiments import federated
from repr_jax import losses
from repr_jax.data import augment
from repr_jax.evaluators import accuracy


def get_config(mode=""):
    config = labels_mnist.get_config(mode)
    del config.evals
    by_clients(config, mode, alpha=0.3)
    config.dataset.labeled = 0.1
    config.experiment = federated.make_selective
    config.augment = dict(fn=augment.jitter, shift=0.05, zoom=0.05, fill=0.0)
    config.strong_augment = dict(fn=augment.jitter, shift=0.15, zoom=0.3, fill=0.0)
    config.selection = dict(fn=losses.selective_pseudo_label, threshold=0.95)
    config.agreement = dict(fn=losses.agreeing_kl)
    config.evals = dict(accuracy=dict(fn=accuracy.evaluate))
    return config
