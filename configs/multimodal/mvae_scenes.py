"""MVAE on pictures and their attributes in words.

python -m repr_jax.main --config=configs/multimodal/mvae_scenes.py \
    --workdir=runs/mvae_scenes
The rest is as MoPoE-VAE there.
Expect: not yet run.
"""

from configs.multimodal import mopoe_scenes, mvae_mnist_svhn_text


def get_config(mode=""):
    return mvae_mnist_svhn_text.of(mopoe_scenes.get_config(mode))
