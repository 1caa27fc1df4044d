"""SimCLR on MNIST with a small convolutional network, for two cores.

python -m repr_jax.main --config=configs/contrastive/simclr_mnist.py \
    --workdir=runs/simclr
The loss is the published one; network, views and schedule are ours, and there is no
published figure to compare with.
Expect: linear probe 0.968, and 0.918 from 500 labels; 5 minutes on two cores.
"""

from configs.base import base
from experiments import two_view
from repr_jax import losses, optim
from repr_jax.data import augment, mnist
from repr_jax.evaluators import few_shot, knn, linear_probe, projection, rank
from repr_jax.models.convnet import ConvNet
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 2_000
    config.data_source = "embedded"  # or tfds: all of MNIST
    config.data_dir = ""  # of tfds; its own default if empty
    config.experiment = two_view.make
    config.dataset = dict(
        fn=mnist.digits,
        source=config.get_ref("data_source"),
        data_dir=config.get_ref("data_dir"),
        seed=config.get_ref("seed"),
    )
    config.augment = dict(fn=augment.jitter, shift=0.15, zoom=0.3, fill=0.0)
    config.encoder = dict(
        fn=ConvNet,
        features=4 if smoke else 128,
        widths=(4, 4) if smoke else (32, 64, 128),
        hidden=8 if smoke else 256,
    )
    widths = (8, 4) if smoke else (256, 64)
    config.projector = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.nt_xent, temperature=0.5)
    config.optimizer = dict(
        fn=optim.adam_cosine,
        peak=1e-3,
        num_steps=config.get_ref("num_steps"),
        warmup_steps=0 if smoke else 100,
    )
    config.evals.knn = dict(fn=knn.evaluate)
    config.evals.linear_probe = dict(fn=linear_probe.evaluate)
    config.evals.few_shot = dict(fn=few_shot.evaluate)
    config.evals.rank = dict(fn=rank.evaluate)
    config.evals.projection = dict(fn=projection.evaluate)
    if smoke:
        config.evals.knn.update(max_train=64, num_neighbors=(20,))
        config.evals.linear_probe.update(max_train=64, num_train=32)
        config.evals.few_shot.update(max_train=64, shots=(1,), num_draws=2)
        config.evals.rank.limit = 64
        config.evals.projection.max_points = 64
    return config
