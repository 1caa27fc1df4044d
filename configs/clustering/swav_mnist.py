"""SwAV on MNIST: `simclr_mnist` with prototypes, a queue and two local views.

python -m repr_jax.main --config=configs/clustering/swav_mnist.py \
    --workdir=runs/swav
The numbers of the loss are the published ones; prototypes, queue, network, views and
length are ours.
Expect: not yet run in full. 600 steps of 64 images, with a network of widths 16, 32, 64
and 64 features: linear probe 0.788 where the untrained network has 0.717, 20 neighbors
0.678 and 0.782.
"""

from configs.contrastive import simclr_mnist
from experiments import swapped
from repr_jax import losses
from repr_jax.data import augment


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    config.experiment = swapped.make
    config.local_augment = dict(
        fn=augment.random_resized_crop, size=28, scale=(0.3, 0.6)
    )
    config.num_local = 2
    config.num_prototypes = 8 if smoke else 100
    config.freeze_steps = 1 if smoke else 50
    config.queue_size = 16 if smoke else 1_024
    config.queue_from = 1 if smoke else 200
    config.loss = dict(
        fn=losses.swav,
        temperature=0.1,  # app. A
        epsilon=0.05,
        num_steps=3,
    )
    return config
