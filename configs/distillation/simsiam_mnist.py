"""SimSiam on MNIST: `simclr_mnist` with a predictor, and no negatives.

python -m repr_jax.main --config=configs/distillation/simsiam_mnist.py \
    --workdir=runs/simsiam
Loss and the predictor's bottleneck are the published ones, rate and decay solo-learn's
of CIFAR-10; network, views and length are ours. Short runs at the rate of ImageNet
lowered the probe, and most without normalized projections.
Expect: not yet run in full. Linear probe 0.869 and 20 neighbors 0.783 with
--config.num_steps=300 --config.batch_size=64 --config.encoder.widths="(16,32,64)"
--config.encoder.hidden=64 --config.encoder.features=64; with the same but
--config.num_steps=100 --config.optimizer.peak=1e-12, untrained, 0.753 and 0.788. One
seed each, under a minute on two cores.
"""

from configs.contrastive import simclr_mnist
from experiments import two_view
from repr_jax import losses, optim
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    config.experiment = two_view.make_predicted
    widths = (8, 4) if smoke else (256, 256)
    config.projector = dict(fn=MLP, widths=widths, batch_norm=True, normalized=True)
    widths = (2, 4) if smoke else (64, 256)  # a quarter, section 4.4
    config.predictor = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.negative_cosine)
    config.optimizer = dict(
        fn=optim.sgd_cosine,
        peak=0.5,  # for 256 images; of ImageNet 0.05, in hundreds of thousand steps
        weight_decay=1e-5,
        num_steps=config.get_ref("num_steps"),
    )
    return config
