"""HELVAE on five-view PolyMNIST: MoPoE with Hellinger pooling, for a CPU.

python -m repr_jax.main --config=configs/multimodal/helvae_polymnist_small.py \
    --workdir=runs/helvae_small
Expect: not yet run.
"""

from configs.multimodal import mwb_polymnist_small
from repr_jax.ops import fusion


def get_config(mode=""):
    config = mwb_polymnist_small.get_config(mode)
    config.fuse = fusion.hellinger
    return config
