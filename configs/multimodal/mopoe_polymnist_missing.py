"""MoPoE-VAE where each view of PolyMNIST is missing in half of the rows, for good.

python -m repr_jax.main --config=configs/multimodal/mopoe_polymnist_missing.py \
    --workdir=runs/mopoe_missing
Missing at random in training; see `data.missing` for other ways. Tests see all views.
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from repr_jax.data import missing


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)
    views = config.dataset
    config.dataset = dict(
        fn=missing.at_random,
        dataset=views,
        rate=0.5,
        splits=("train",),
        seed=0,
    )
    return config
