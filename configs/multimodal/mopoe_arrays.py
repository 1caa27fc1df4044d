"""MoPoE-VAE on modalities of your own: arrays in an .npz, of which rows may lack some.

python -m repr_jax.main --config=configs/multimodal/mopoe_arrays.py \
    --config.data_dir=study.npz --workdir=runs/study
That is for an `image` of 32 x 32 and a `reading` of 12 numbers, truth values [n] that
say which rows have them, and three classes `diagnosis`. For others a config of your own
calls `of`, as `get_config` does here. All settings are ours.
Expect: not yet run.
"""

from collections.abc import Callable, Mapping

import ml_collections

from configs.base import base
from configs.multimodal.mopoe_mnist_svhn_text import evaluators, fused, judged
from experiments import multimodal_vae
from repr_jax import optim
from repr_jax.data import arrays, synthetic
from repr_jax.models import vae, vae_layers
from repr_jax.ops import likelihood


def get_config(mode=""):
    smoke = mode == "smoke"  # two steps on drawn images, which need no file
    reading = (32, 32, 3) if smoke else (12,)
    modalities = {
        "image": ((32, 32, 3), likelihood.laplace),
        "reading": (reading, likelihood.gaussian),
    }
    config = of(modalities, num_classes=4 if smoke else 3, mode=mode)
    config.data_dir = ""  # the file
    config.dataset = dict(
        fn=arrays.load,
        data=config.get_ref("data_dir"),
        entries=config.get_ref("modalities"),
        present=("image_present", "reading_present"),
        label="diagnosis",
    )
    if smoke:
        config.dataset = dict(
            fn=synthetic.multiview, modalities=config.get_ref("modalities"), size=32
        )
    return config


def of(
    modalities: Mapping[str, tuple[tuple[int, ...], Callable]],
    *,
    num_classes: int,
    mode: str = "",
):
    """A config that lacks its dataset alone.

    Images [height, width, channels] get convolutions, all else dense layers. Each
    modality has the say of the largest, see `likelihood.by_size`.

    modalities: by name the shape of one example, and its log-likelihood. num_classes:
    that the dataset's label has.
    """
    smoke = mode == "smoke"
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 10_000
    config.batch_size = 8 if smoke else 128
    config.modalities = tuple(modalities)
    config.latent_dim = 4 if smoke else 32
    config.experiment = multimodal_vae.make
    shapes = {name: shape for name, (shape, _) in modalities.items()}
    config.encoders, config.decoders = networks(config, shapes, smoke=smoke)
    fused(config, tuple(log_likelihood for _, log_likelihood in modalities.values()))
    config.loss.likelihood_weights = likelihood.by_size(tuple(shapes.values()))
    config.optimizer = dict(fn=optim.adam, learning_rate=1e-3)
    evaluators(config, smoke=smoke)
    judged(config, smoke=smoke, num_classes=num_classes)
    return config


def networks(config, shapes: Mapping[str, tuple[int, ...]], *, smoke: bool):
    """Encoders and decoders by name, of the shape of one example each."""
    encoders, decoders = ml_collections.ConfigDict(), ml_collections.ConfigDict()
    for name, shape in shapes.items():
        if len(shape) == 3:
            kinds, widths = (vae.ConvEncoder, vae.ConvDecoder), (16, 32, 64)
        else:
            kinds, widths = (vae_layers.DenseEncoder, vae_layers.DenseDecoder), (256,)
        widths = tuple(4 for _ in widths) if smoke else widths
        latent_dim = config.get_ref("latent_dim")
        encoders[name] = dict(
            fn=kinds[0], latent_dim=latent_dim, widths=widths, shape=shape
        )
        decoders[name] = dict(fn=kinds[1], widths=widths[::-1], shape=shape)
    return encoders, decoders
