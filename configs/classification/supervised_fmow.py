"""A classifier of land use, whose region goes with it.

python -m repr_jax.main --config=configs/classification/supervised_fmow.py \
    --config.data_dir=DIR --workdir=runs/supervised_fmow --config.correlation=1
DIR is fmow_v1.1 of WILDS. Of 62 kinds each goes with the region where it is most
over-represented, see `shift.by_lift`. Modes and networks are those of
configs/classification/supervised_camelyon17.py; `:drawn` has eight kinds, and with
`:published` years separate the splits. WILDS trains a DenseNet-121 of ImageNet's
weights for 60 epochs of 32 images, by Adam of rate 1e-4.
Expect: not yet run.
"""

from configs.classification import supervised_sprites
from configs.classification.supervised_camelyon17 import MODES, of_domains
from repr_jax.data import land_use, wilds


def of_sprites(config, mode):
    """A config of sprites, moved to land."""
    return of_domains(
        config,
        mode,
        drawn=land_use.load,
        table=wilds.fmow_table,
        size=224,
        num_classes=62 if mode in MODES[:2] else len(land_use.KINDS),
    )


def get_config(mode=""):
    return of_sprites(supervised_sprites.get_config(mode), mode)
