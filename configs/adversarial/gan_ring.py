"""A small generative adversarial network on eight Gaussians around a ring.

python -m repr_jax.main --config=configs/adversarial/gan_ring.py --workdir=runs/gan_ring
The losses are the published ones; networks, data and rates are ours.
Expect: all 8 modes, 0.83 of the samples near one (three seeds); about a minute.
"""

from configs.base import base
from experiments import adversarial
from repr_jax import losses, optim
from repr_jax.data import mixtures
from repr_jax.evaluators import modes
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 10_000
    config.log_every = 1 if smoke else 500
    config.best_metric = ""  # no loss of two players says which state is best
    config.latent_dim = 8
    config.entry = "x"
    config.experiment = adversarial.make
    config.dataset = dict(fn=mixtures.ring, spread=0.05, seed=config.get_ref("seed"))
    hidden = (8,) if smoke else (128, 128, 128)
    config.generator = dict(fn=MLP, widths=(*hidden, 2))
    config.discriminator = dict(fn=MLP, widths=(*hidden, 1))
    config.losses = dict(
        discriminator=dict(fn=losses.gan_discriminator),
        generator=dict(fn=losses.gan_generator),
    )
    config.penalty_weight = 0.1
    config.optimizer = dict(
        discriminator=dict(fn=optim.adam, learning_rate=3e-4, b1=0.5),
        generator=dict(fn=optim.adam, learning_rate=3e-4, b1=0.5),
    )
    config.evals.modes = dict(
        fn=modes.evaluate, centers=dict(fn=mixtures.ring_centers), radius=0.15
    )
    if smoke:
        config.evals.modes.num_samples = 64
    return config
