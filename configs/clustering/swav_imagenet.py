"""SwAV on ImageNet with a ResNet-50: published views, prototypes and LARS, 800 epochs.

python -m repr_jax.main --config=configs/clustering/swav_imagenet.py \
    --config.data_dir=DIR --workdir=runs/swav_imagenet
Data and network are those of configs/contrastive/simclr_imagenet.py. Its LARS leaves no
parameter out. The published warm-up starts at a rate of 0.3 and the schedule ends at
0.0048, ours at 0 both.
Expect: not yet run. Published: linear accuracy 0.753.
"""

from configs.contrastive import simclr_imagenet
from configs.contrastive.simclr_imagenet import of_recipe
from experiments import swapped
from repr_jax import losses
from repr_jax.data import recipes


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_imagenet.get_config(mode, num_epochs=800)
    config.experiment = swapped.make
    config.augment, config.local_augment = (of_recipe(r, mode) for r in recipes.SWAV)
    config.num_local = recipes.SWAV_COUNTS[1]
    config.num_prototypes = 8 if smoke else 3_000
    config.freeze_steps = 1 if smoke else 313  # an epoch
    config.queue_size = config.queue_from = 0  # of small batches alone
    config.loss = dict(
        fn=losses.swav,
        temperature=0.1,  # app. A
        epsilon=0.05,
        num_steps=3,
    )
    config.optimizer.excluded = r"(?!)"  # none
    return config
