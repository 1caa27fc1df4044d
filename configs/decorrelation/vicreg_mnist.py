"""VICReg on MNIST: `simclr_mnist` with another loss and a wider projection.

python -m repr_jax.main --config=configs/decorrelation/vicreg_mnist.py \
    --workdir=runs/vicreg
The weights are the published ones, the rest ours.
Expect: not yet run in full. 600 steps of 64 images, with a network of widths 16, 32, 64
and 64 features: linear probe 0.909 where the untrained network has 0.781, 20 neighbors
0.817 and 0.847; SimCLR 0.918 and 0.812 in as many steps.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    config.loss = dict(
        fn=losses.vicreg,
        invariance_weight=25.0,  # section 4.2
        variance_weight=25.0,
        covariance_weight=1.0,
    )
    config.projector.widths = (8, 4) if smoke else (512, 512)
    return config
