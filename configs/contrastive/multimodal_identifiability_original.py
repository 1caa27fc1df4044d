"""The multi-view case: one mixing, one encoder, no modality-specific factors.

von Kuegelgen et al., "Self-Supervised Learning with Data Augmentations Provably
Isolates Content from Style", 2021, https://arxiv.org/abs/2106.04619, with everything
else as in multimodal_identifiability.py: "original" in the multimodal paper's table.

python -m repr_jax.main \
    --config=configs/contrastive/multimodal_identifiability_original.py \
    --workdir=runs/identifiability_original
Expect: not yet run.
"""

from configs.contrastive import multimodal_identifiability


def one_mixing(config):
    """Makes a multimodal config a multi-view one."""
    config.dataset.process.update(modality_dims=(0, 0), shared_mixing=True)
    config.encoders = {"shared": config.encoders.x1}
    return config


def get_config(mode=""):
    config = one_mixing(multimodal_identifiability.get_config(mode))
    if mode != "smoke":
        config.encoders.shared.widths = (100, 500, 500, 500, 500, 100, 5)  # by the rule
    return config
