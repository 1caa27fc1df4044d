"""MAE on emoji.

python -m repr_jax.main --config=configs/reconstruction/mae_emoji.py \
    --config.data_dir=DIR --workdir=runs/mae_emoji
The method of configs/reconstruction/mae_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive.simclr_emoji import of_mnist
from configs.reconstruction import mae_mnist


def get_config(mode=""):
    return of_mnist(mae_mnist.get_config(mode), mode)
