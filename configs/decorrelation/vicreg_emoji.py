"""VICReg on emoji.

python -m repr_jax.main --config=configs/decorrelation/vicreg_emoji.py \
    --config.data_dir=DIR --workdir=runs/vicreg_emoji
The method of configs/decorrelation/vicreg_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive.simclr_emoji import of_mnist
from configs.decorrelation import vicreg_mnist


def get_config(mode=""):
    return of_mnist(vicreg_mnist.get_config(mode), mode)
