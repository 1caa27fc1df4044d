"""A mixture of Gaussian experts on MNIST-SVHN-Text, with private latents.

python -m repr_jax.main --config=configs/multimodal/moe_private_mnist_svhn_text.py \
    --workdir=runs/moe_private_mnist_svhn_text
Expect: not yet run.
"""

from configs.multimodal import moe_mnist_svhn_text
from configs.multimodal.mopoe_mnist_svhn_text import with_private


def get_config(mode=""):
    config = moe_mnist_svhn_text.get_config(mode)
    return with_private(config, smoke=mode == "smoke")
