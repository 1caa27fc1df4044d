"""A classifier of the shapes of sprites whose color goes with the shape.

python -m repr_jax.main --config=configs/classification/supervised_sprites.py \
    --workdir=runs/supervised_sprites --config.correlation=0.9
Data, heads and what is compared follow Shi et al., 2023,
https://arxiv.org/abs/2206.08871; network, sizes and rates are ours, for two cores.
Expect: at correlation 1, of one seed, out of distribution 0.49 by the OOD head and 0.34
(chance) by the ID head; in distribution 1.00; under two minutes of one core.
"""

from configs.base import base
from experiments import supervised
from repr_jax import losses, optim
from repr_jax.data import sprites
from repr_jax.evaluators import knn, rank, shift_heads
from repr_jax.models.convnet import ConvNet


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 1_000
    config.batch_size = 8 if smoke else 128
    config.correlation = 1.0  # r of label and attribute, in distribution
    config.experiment = supervised.make
    config.entry = "image"
    config.num_classes = 3
    config.dataset = dict(
        fn=sprites.load,
        r_id=config.get_ref("correlation"),
        r_ood=0.0,
        num_train=48 if smoke else 6_000,
        num_test=48 if smoke else 2_000,
        num_head=48 if smoke else 1_000,
        size=8 if smoke else 32,
        seed=config.get_ref("seed"),
        data_seed=config.get_ref("seed"),
    )
    config.encoder = dict(
        fn=ConvNet,
        features=4 if smoke else 128,
        widths=(4, 4) if smoke else (32, 64, 64),
        hidden=0,
    )
    config.loss = dict(fn=losses.cross_entropy)
    config.optimizer = dict(
        fn=optim.adam_cosine, peak=1e-3, num_steps=config.get_ref("num_steps")
    )
    few = config.dataset.num_head  # rows of the OOD head: all there are
    config.evals.heads = dict(fn=shift_heads.evaluate, num_head=few)
    config.evals.spurious = dict(
        fn=shift_heads.evaluate, num_head=few, target="spurious"
    )
    config.evals.knn = dict(fn=knn.evaluate)
    config.evals.rank = dict(fn=rank.evaluate)
    return config
