"""MoPoE-VAE on emoji: two artists' drawings of each, and its name as text.

python -m repr_jax.main --config=configs/multimodal/mopoe_emoji.py \
    --config.data_dir=DIR --workdir=runs/mopoe_emoji
DIR has emoji.npz, see `data.emoji`. A fifth of the emoji is held out. All settings are
ours; there is no published figure to compare with.
Expect: not yet run.
"""

from configs.base import base
from configs.multimodal.mopoe_mnist_svhn_text import evaluators, fused, judged
from experiments import multimodal_vae
from repr_jax import optim
from repr_jax.data import characters, emoji, synthetic
from repr_jax.models import vae, vae_layers
from repr_jax.ops import likelihood

DRAWING, TEXT = (32, 32, 3), (32, 71)
# 32 characters to 16, 8, 4 and 1, and back.
NAME = ((128, 1, 1, 0), (128, 4, 2, 1), (128, 4, 2, 1), (128, 4, 2, 1), (256, 4, 1, 0))
NAME_BACK = ((128, 4, 1, 0), (128, 4, 2, 1), (128, 4, 2, 1), (128, 4, 2, 1))
NAME_BACK += ((71, 1, 1, 0),)


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 20_000
    config.batch_size = 8 if smoke else 128
    config.modalities = emoji.IMAGES if smoke else (*emoji.IMAGES, "text")
    config.latent_dim = 4 if smoke else 64
    config.data_dir = ""  # the file, or the folder of emoji.npz
    config.experiment = multimodal_vae.make
    config.dataset = dict(
        fn=emoji.load,
        path=config.get_ref("data_dir"),
        modalities=config.get_ref("modalities"),
        seed=config.get_ref("seed"),
    )
    latent_dim = config.get_ref("latent_dim")
    widths = (4, 4, 4) if smoke else (32, 64, 128)
    encoder = dict(
        fn=vae.ConvEncoder,
        latent_dim=latent_dim,
        widths=widths,
        hidden=8 if smoke else 256,
        shape=DRAWING,
    )
    decoder = dict(fn=vae.ConvDecoder, widths=widths[::-1], shape=DRAWING)
    config.encoders = {name: dict(encoder) for name in emoji.IMAGES}
    config.decoders = {name: dict(decoder) for name in emoji.IMAGES}
    likelihoods = (likelihood.laplace,) * 2
    if smoke:
        config.dataset = dict(fn=synthetic.multiview, modalities=emoji.IMAGES, size=32)
    else:
        config.encoders.text = dict(
            fn=vae_layers.LayersEncoder, latent_dim=latent_dim, layers=NAME, shape=TEXT
        )
        config.decoders.text = dict(
            fn=vae_layers.LayersDecoder, layers=NAME_BACK, shape=TEXT, hidden=256
        )
        likelihoods += (likelihood.categorical,)
    fused(config, likelihoods)
    if not smoke:
        config.loss.likelihood_weights = (1.0, 1.0, 10.0)
    config.optimizer = dict(fn=optim.adam, learning_rate=1e-3)
    evaluators(config, smoke=smoke)
    judged(config, smoke=smoke, num_classes=10 if smoke else 9)  # categories
    if not smoke:
        config.evals.samples.read = dict(text=characters.texts)
    return config
