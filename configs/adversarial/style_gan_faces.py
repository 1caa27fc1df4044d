"""A small style-based GAN on drawn faces; PULSE searches it for means of 8 x 8 pixels.

python -m repr_jax.main --config=configs/adversarial/style_gan_faces.py \
    --workdir=runs/style_gan
Losses and the numbers of the search are the published ones; networks and rates are
ours.
Expect: not yet run in full.
"""

from configs.diffusion import ddpm_faces
from experiments import style_gan as experiment
from repr_jax import losses, optim
from repr_jax.models import style_gan


def get_config(mode=""):
    smoke = mode == "smoke"
    config = ddpm_faces.get_config(mode)
    config.num_steps = 2 if smoke else 20_000
    config.best_metric = ""  # no loss of two players says which state is best
    for name in ("network", "alpha_bars", "loss", "sampler", "restorer"):
        del config[name]
    config.experiment = experiment.make
    config.entry = "image"
    size, style_dim = config.dataset.size, 8 if smoke else 64
    widths = dict(width=4, max_width=8) if smoke else dict(width=32, max_width=64)
    config.latent_dim = style_gan.latent_dim(size, style_dim)
    config.generator = dict(
        fn=style_gan.Generator, size=size, style_dim=style_dim, **widths
    )
    config.discriminator = dict(fn=style_gan.Discriminator, **widths)
    config.losses = dict(
        discriminator=dict(fn=losses.gan_discriminator),
        generator=dict(fn=losses.gan_generator),
    )
    config.penalty_weight = 0.5
    adam = dict(fn=optim.adam, learning_rate=1e-3, b1=0.0, b2=0.99)
    config.optimizer = dict(discriminator=adam, generator=dict(adam))
    config.search = dict(
        num_steps=2 if smoke else 100,
        learning_rate=0.4,
        tolerance=2e-3,
        cross_weight=0.05,
        num_trained=5,
    )
    return config
