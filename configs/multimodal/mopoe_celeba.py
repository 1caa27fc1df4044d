"""MoPoE-VAE on CelebA, faces and their attributes in words, with the published layers.

python -m repr_jax.main --config=configs/multimodal/mopoe_celeba.py \
    --config.data_dir=DIR --workdir=runs/mopoe_celeba
DIR has celeb_a as tensorflow-datasets prepares it. Blocks normalize each row for
itself, see `models.vae_residual_layers`. Published figures are of the validation
partition: --config.dataset.test_split=validation. The smoke form is on scenes.
Expect: not yet run.
"""

import ml_collections

from configs.multimodal import mopoe_scenes
from repr_jax.data import celeba
from repr_jax.models import vae_residual_layers as residual


def get_config(mode=""):
    config = mopoe_scenes.get_config(mode)
    smoke = mode == "smoke"
    config.data_dir = ""  # where tfds looks; its own default if empty
    if not smoke:
        config.num_steps = 159_000  # published: 250 epochs
        config.dataset = dict(
            fn=celeba.load,
            data_dir=config.get_ref("data_dir"),
            modalities=config.get_ref("modalities"),
            test_split="test",
            seed=config.get_ref("seed"),
        )
        config.evals.attributes.names = celeba.ATTRIBUTES
    config.private_dim = 2 if smoke else 32  # published
    layers = {
        "image": (residual.FACE, residual.FACE_BACK, mopoe_scenes.PICTURE),
        "text": (residual.TEXT, residual.TEXT_BACK, mopoe_scenes.TEXT),
    }
    names = ("encoders", "private_encoders", "decoders")
    for name in names:
        config[name] = ml_collections.ConfigDict()
    for name, (down, up, shape) in layers.items():
        if smoke:
            down, up = narrow(down), (*narrow(up[:-1]), up[-1])
        encoder = dict(fn=residual.ResidualLayersEncoder, layers=down, shape=shape)
        for kind, dim in (
            ("encoders", "latent_dim"),
            ("private_encoders", "private_dim"),
        ):
            config[kind][name] = dict(encoder, latent_dim=config.get_ref(dim))
        config.decoders[name] = dict(
            fn=residual.ResidualLayersDecoder,
            layers=up,
            shape=shape,
            hidden=8 if smoke else 640,  # published
        )
    config.loss.private_beta = (
        2.0  # published, of both; 1 for images, 5 for text beside
    )
    return config


def narrow(layers):
    """The same layers of 8 features."""
    return tuple((8, *numbers) for _, *numbers in layers)
