"""pSp on drawn faces: an encoder of means of 8 x 8 pixels into a trained style GAN.

python -m repr_jax.main --config=configs/reconstruction/psp_faces.py \
    --config.start.source=runs/style_gan --workdir=runs/psp
The generator is that of `configs/adversarial/style_gan_faces.py`, trained before. The
weights of the loss are the published ones, its features those of EfficientNet-Lite0;
networks, rate and batch are ours.
Expect: not yet run in full.
"""

from configs.adversarial import style_gan_faces
from experiments import style_encoder
from repr_jax import losses, optim
from repr_jax.evaluators import perceptual
from repr_jax.models import style_gan


def of_gan(config, mode):
    """A config of a style GAN as one of an encoder into it."""
    smoke = mode == "smoke"
    names = ("latent_dim", "discriminator", "losses", "penalty_weight", "search")
    for name in (*names, "entry", "optimizer"):
        del config[name]
    config.num_steps = 2 if smoke else 10_000
    config.batch_size = 8 if smoke else 32
    config.best_metric = "loss/encoder"
    config.experiment = style_encoder.make
    config.start.prefixes = ("extras/generator=params/generator",)
    sizes = ("style_dim", "width", "max_width")  # those of the generator
    config.encoder = dict(
        fn=style_gan.Encoder, **{n: config.generator.get_ref(n) for n in sizes}
    )
    config.features = dict(fn=perceptual.layers)
    config.factors = (1, 2, 4) if smoke else (1, 2, 4, 8, 16)
    config.loss = dict(
        fn=losses.psp,
        perceptual_weight=0.8,
        identity_weight=0.1,
        offset_weight=0.005,
    )
    config.optimizer = dict(encoder=dict(fn=optim.adam, learning_rate=1e-3))
    return config


def get_config(mode=""):
    return of_gan(style_gan_faces.get_config(mode), mode)
