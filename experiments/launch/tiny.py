"""Small runs for tries of launching and of faults: MoPoE, or :simclr, :byol.

python -m experiments.launch.local --processes=2 --devices=2 -- \
    --config=experiments/launch/tiny.py --workdir=DIR
A batch of 16 is shared by up to 16 devices. SimCLR has all others of the batch as
negatives, and both it and BYOL the batch normalization of the whole batch.
"""

from configs.contrastive import simclr_mnist
from configs.distillation import byol_mnist
from configs.multimodal import mopoe_polymnist
from repr_jax import optim
from repr_jax.data import synthetic

CONFIGS = {"simclr": simclr_mnist, "byol": byol_mnist, "": mopoe_polymnist}


def get_config(mode=""):
    config = CONFIGS[mode].get_config("smoke")
    if mode == "byol":
        config.predictor.widths = (64, 32)
    if mode:
        config.evals = {}
        config.best_metric = "loss"
        config.encoder.features = 32  # enough that no unit is dead for all 16 images
        config.projector.widths = (64, 32)
        config.optimizer = dict(
            fn=optim.sgd_cosine, peak=0.01, num_steps=config.get_ref("num_steps")
        )  # Adam's first steps act on signs, also of what rounding left; and at 0.05
        # rounding grows within 50 steps to 2e-4 of BYOL's loss, in float64 to 5e-8
    else:
        config.dataset = dict(fn=synthetic.multiview, modalities=("m0", "m1"), size=8)
        config.encoder.update(widths=(4,), shape=(8, 8, 3))  # little to compile
        config.decoder.update(widths=(4,), shape=(8, 8, 3))
        config.evals = dict(bound=config.evals.bound)
    config.num_steps = 30
    config.batch_size = 16
    config.checkpoint_every = 4
    config.log_every = 2
    return config
