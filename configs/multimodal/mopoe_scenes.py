"""MoPoE-VAE on pictures and what is in them, in words: CelebA or its stand-in.

python -m repr_jax.main --config=configs/multimodal/mopoe_scenes.py \
    --workdir=runs/mopoe_scenes
That is on scenes of digits on photographs, see `data.scenes`. For CelebA, prepared by
tensorflow-datasets, a config of three lines takes this one and sets
config.dataset = dict(fn=celeba.load, data_dir="DIR"). The networks are ours, plain
convolutions, where the published ones are residual; weights of the likelihoods are the
published ones of CelebA.
Expect: not yet run.
"""

from configs.base import base
from configs.multimodal.mopoe_mnist_svhn_text import evaluators, fused
from experiments import multimodal_vae
from repr_jax import optim
from repr_jax.data import characters, scenes
from repr_jax.evaluators import attributes
from repr_jax.models import vae_layers
from repr_jax.ops import likelihood

PICTURE, TEXT = (64, 64, 3), (256, 71)


def halving(widths, last, back=False):
    """Layers of kernel 4 that halve six times to one pixel, or the way back."""
    layers = [(width, 4, 2, 1) for width in widths]
    end = (last, 4, 1, 0)
    return (end, *layers[::-1]) if back else (*layers, end)


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 50_000
    config.batch_size = 8 if smoke else 256  # published
    config.modalities = scenes.MODALITIES
    config.latent_dim = 4 if smoke else 32  # published by mmJSD
    config.experiment = multimodal_vae.make
    config.dataset = dict(
        fn=scenes.with_attributes,
        modalities=config.get_ref("modalities"),
        source="embedded",  # of the digits; tfds: all of MNIST
        data_dir="",
        seed=config.get_ref("seed"),
    )
    networks(config, smoke=smoke)
    fused(config, (likelihood.laplace, likelihood.categorical))
    config.loss.likelihood_weights = (1 / 3, 16.0)  # published
    config.loss.beta = 2.5  # published
    config.optimizer = dict(fn=optim.adam, learning_rate=5e-4)  # published
    evaluators(config, smoke=smoke)
    described(config, scenes.ATTRIBUTES, smoke=smoke)
    config.evals.samples.read = dict(text=characters.texts)
    return config


def described(config, names, *, smoke):
    """Precision of attributes, in what is generated and in the latents."""
    config.evals.attributes = dict(fn=attributes.evaluate, names=names, limit=10_000)
    config.evals.attribute_probe = dict(fn=attributes.probe, limit=10_000)
    if smoke:
        config.evals.attributes.update(classifier_steps=2, num_random=32, limit=32)
        config.evals.attribute_probe.update(limit=64, num_train=32)


def networks(config, *, smoke):
    """Convolutions of pictures and of text."""
    latent_dim = config.get_ref("latent_dim")
    image = (4, 4, 4, 4) if smoke else (64, 128, 256, 512)
    text = (8 if smoke else 128,) * 6  # halvings of 256 letters to four
    end = 8 if smoke else 512
    config.encoders = dict(
        image=dict(
            fn=vae_layers.LayersEncoder,
            latent_dim=latent_dim,
            layers=halving(image, end),
            shape=PICTURE,
        ),
        text=dict(
            fn=vae_layers.LayersEncoder,
            latent_dim=latent_dim,
            layers=((text[0], 1, 1, 0), *halving(text, end)),
            shape=TEXT,
        ),
    )
    config.decoders = dict(
        image=dict(
            fn=vae_layers.LayersDecoder,
            layers=halving((3, *image[:-1]), image[-1], back=True),
            shape=PICTURE,
        ),
        text=dict(
            fn=vae_layers.LayersDecoder,
            layers=(*halving(text, text[-1], back=True), (TEXT[1], 1, 1, 0)),
            shape=TEXT,
            hidden=end,
        ),
    )
