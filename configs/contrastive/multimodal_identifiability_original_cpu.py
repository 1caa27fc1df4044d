"""The multi-view case at a size for one CPU core; see the two configs that it joins.

python -m repr_jax.main \
    --config=configs/contrastive/multimodal_identifiability_original_cpu.py \
    --workdir=runs/identifiability_original_cpu
Expect: content 1.00 from either view, style 0.00, if factors are independent (three
seeds): experiments/results/multimodal_identifiability.md. A minute on one core.
"""

from configs.contrastive import multimodal_identifiability_cpu
from configs.contrastive.multimodal_identifiability_original import one_mixing


def get_config(mode=""):
    return one_mixing(multimodal_identifiability_cpu.get_config(mode))
