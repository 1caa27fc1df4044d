"""DDPM on drawn faces of 32 x 32 pixels; DDRM makes them of means of 8 x 8 pixels.

python -m repr_jax.main --config=configs/diffusion/ddpm_faces.py --workdir=runs/ddpm
Schedule, eta and eta_b are the published ones; the network is a small one of ours.
Expect: not yet run in full.
"""

from configs.base import base
from experiments import diffusion
from repr_jax import losses, optim
from repr_jax.data import faces
from repr_jax.evaluators import fairness, perceptual
from repr_jax.models.unet import UNet
from repr_jax.ops import measurement
from repr_jax.ops.diffusion import linear_alpha_bars


def get_config(mode=""):
    smoke = mode == "smoke"
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 10_000
    config.batch_size = 8 if smoke else 64
    config.ema_decay = 0.999
    config.experiment = diffusion.make_ddpm
    config.dataset = dict(
        fn=faces.load,
        num_train=700 if smoke else 21_000,
        num_test=140 if smoke else 1_400,
        size=16 if smoke else 32,
        shares=(1 / 7,) * 7,  # of the classes in training
        class_balanced=False,
        seed=config.get_ref("seed"),
    )
    config.network = dict(fn=UNet, widths=(4, 8) if smoke else (32, 64, 64))
    config.alpha_bars = dict(fn=linear_alpha_bars)
    config.loss = dict(fn=losses.noise_prediction)
    config.sampler = dict(num_steps=2 if smoke else 50, eta=0.0)
    config.factor = 4 if smoke else 8
    pool = dict(fn=measurement.average_pool, factor=config.get_ref("factor"))
    config.operator = pool
    config.restorer = dict(num_steps=2 if smoke else 20, eta=0.85, eta_b=1.0)
    config.optimizer = dict(fn=optim.adam, learning_rate=2e-4, clip_norm=1.0)
    config.evals.fairness = dict(
        fn=fairness.evaluate,
        operator=pool,
        num_classes=7,
        batch_size=28 if smoke else 100,
        coarsen=2,
        num_draws=2 if smoke else 100,
        num_simulated=10 if smoke else 1000,
        limit=140 if smoke else 1400,
        classifier_batch=64 if smoke else 128,
        classifier_steps=150 if smoke else 3000,
        judge_data=dict(fn=faces.load, **balanced(config.dataset)),
        distances={} if smoke else dict(perceptual=dict(fn=perceptual.distance)),
    )
    return config


def balanced(dataset):
    """What the data of the judge have of the run's, whose classes need not be equal."""
    return {name: dataset.get_ref(name) for name in ("num_train", "num_test", "size")}
