"""SwAV on emoji.

python -m repr_jax.main --config=configs/clustering/swav_emoji.py \
    --config.data_dir=DIR --workdir=runs/swav_emoji
The method of configs/clustering/swav_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.clustering import swav_mnist
from configs.contrastive.simclr_emoji import of_mnist


def get_config(mode=""):
    return of_mnist(swav_mnist.get_config(mode), mode)
