"""MoPoE-VAE on Multimodal Handwritten Digits: image, pen, sound and symbol.

python -m repr_jax.main --config=configs/multimodal/mopoe_mhd.py \
    --workdir=runs/mopoe_mhd
That is on a stand-in, see `data.mhd_drawn`; all of MNIST in it:
--config.dataset.source=tfds --config.dataset.data_dir=DIR. For the set itself, arrays
as `data.mhd` says, a config of three lines takes this one and sets
config.dataset = dict(fn=mhd.load, path="DIR"). Networks are ours. Weights of the
likelihoods are those of Nexus's authors for trajectory and symbol.
Expect: not yet run.
"""

from configs.base import base
from configs.multimodal.mopoe_mnist_labels import dense
from configs.multimodal.mopoe_mnist_svhn_text import evaluators, fused, judged
from experiments import multimodal_vae
from repr_jax import optim
from repr_jax.data import mhd, mhd_drawn
from repr_jax.models import vae_layers
from repr_jax.ops import likelihood

SOUND = (32, 96, 1)
HALVINGS = ((32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1))  # of the sound, to 4 x 12


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 50_000
    config.batch_size = 8 if smoke else 64  # published by Nexus
    config.modalities = mhd.MODALITIES
    config.latent_dim = 4 if smoke else 32
    config.experiment = multimodal_vae.make
    config.dataset = dict(
        fn=mhd_drawn.load,
        modalities=config.get_ref("modalities"),
        source="embedded",
        data_dir="",
        seed=config.get_ref("seed"),
    )
    shapes = dict(image=(28, 28, 1), trajectory=(200,), sound=SOUND, symbol=(10,))
    dense(config, shapes, smoke=smoke)
    config.encoders.sound = dict(
        fn=vae_layers.LayersEncoder,
        latent_dim=config.get_ref("latent_dim"),
        layers=HALVINGS,
        shape=SOUND,
    )
    gaussian = likelihood.gaussian
    fused(config, (likelihood.bernoulli, gaussian, gaussian, likelihood.categorical))
    config.loss.likelihood_weights = (1.0, 50.0, 1.0, 50.0)  # published by Nexus
    config.optimizer = dict(fn=optim.adam, learning_rate=1e-3)  # published by Nexus
    evaluators(config, smoke=smoke)
    judged(config, smoke=smoke)
    return config
