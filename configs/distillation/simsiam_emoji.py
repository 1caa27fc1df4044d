"""SimSiam on emoji.

python -m repr_jax.main --config=configs/distillation/simsiam_emoji.py \
    --config.data_dir=DIR --workdir=runs/simsiam_emoji
The method of configs/distillation/simsiam_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive.simclr_emoji import of_mnist
from configs.distillation import simsiam_mnist


def get_config(mode=""):
    return of_mnist(simsiam_mnist.get_config(mode), mode)
