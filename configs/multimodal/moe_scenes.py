"""A mixture of Gaussian experts on pictures and their attributes in words.

python -m repr_jax.main --config=configs/multimodal/moe_scenes.py \
    --workdir=runs/moe_scenes
The rest is as MoPoE-VAE there.
Expect: not yet run.
"""

from configs.multimodal import moe_mnist_svhn_text, mopoe_scenes


def get_config(mode=""):
    return moe_mnist_svhn_text.of(mopoe_scenes.get_config(mode))
