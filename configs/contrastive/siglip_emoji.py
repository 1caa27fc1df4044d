"""Emoji of two artists and their names in one space: `clip_emoji` with SigLIP's loss.

python -m repr_jax.main --config=configs/contrastive/siglip_emoji.py \
    --config.data_dir=DIR --workdir=runs/siglip_emoji
Temperature and bias start at the published values; all else is ours, and there is no
published figure to compare with. Expect: not yet run.
"""

from configs.contrastive import clip_emoji
from repr_jax import losses


def get_config(mode=""):
    config = clip_emoji.get_config(mode)
    config.loss = dict(fn=losses.siglip)
    config.temperature = dict(initial=0.1, lowest=0.01)
    config.bias = dict(initial=-10.0)
    return config
