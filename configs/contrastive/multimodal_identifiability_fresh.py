"""Identifiability with the negatives of the authors' code: fresh, of the same modality.

The published batch of 6,144 pairs, and 6,144 more that serve as negatives alone.

python -m repr_jax.main \
    --config=configs/contrastive/multimodal_identifiability_fresh.py \
    --workdir=runs/identifiability_fresh
Expect: not yet run.
"""

from ml_collections.config_dict import placeholder

from configs.contrastive import multimodal_identifiability
from experiments import two_modality
from repr_jax import losses
from repr_jax.ops import similarity


def get_config(mode=""):
    config = multimodal_identifiability.get_config(mode)
    config.batch_size = 16 if mode == "smoke" else 2 * 6_144
    config.experiment = two_modality.make_fresh_negatives
    config.loss = dict(
        fn=losses.fresh_negatives_nce,
        similarity=similarity.negative_squared_distance,
        temperature=1.0,
        chunk_size=placeholder(int),
    )
    return config
