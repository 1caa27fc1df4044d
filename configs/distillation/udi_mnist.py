"""UDI on MNIST: `dino_mnist` with a second class token, and patches in its targets.

python -m repr_jax.main --config=configs/distillation/udi_mnist.py \
    --workdir=runs/udi
The mix is the published one. Windows are smaller, as are images; patches of the two
global views, which are moved and not cropped, are compared at the same place, where the
published code aligns those of crops, and has an attention of them before the head.
Expect: not yet run.
"""

from configs.distillation import dino_mnist
from experiments import ema_target


def get_config(mode=""):
    config = dino_mnist.get_config(mode)
    config.experiment = ema_target.make_consolidated
    config.encoder.num_class_tokens = 2
    config.mix = 0.5
    config.window = 2  # of 4 x 4 patches; published 3 of 14 x 14
    return config
