"""The multi-view case at a size for one CPU core; see the two configs that it joins.

python -m repr_jax.main \
    --config=configs/contrastive/multimodal_identifiability_original_cpu.py \
    --workdir=runs/identifiability_original_cpu
Expect: not yet run.
"""

from configs.contrastive import multimodal_identifiability_cpu
from configs.contrastive.multimodal_identifiability_original import one_mixing


def get_config(mode=""):
    return one_mixing(multimodal_identifiability_cpu.get_config(mode))
