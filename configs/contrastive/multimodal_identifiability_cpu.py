"""Identifiability of multimodal contrastive learning, at a size for one CPU core.

Three factors of every kind in place of five, small networks and batches, fewer steps at
a higher rate; the rest as published.

python -m repr_jax.main --config=configs/contrastive/multimodal_identifiability_cpu.py \
    --workdir=runs/identifiability_cpu
Expect: content 0.98 to 1.00 from either modality, all else 0.00, if factors are
independent (three seeds): experiments/results/multimodal_identifiability.md. A minute
on one core.
"""

from ml_collections.config_dict import placeholder

from configs.contrastive import multimodal_identifiability
from repr_jax import optim


def get_config(mode=""):
    config = multimodal_identifiability.get_config(mode)
    if mode == "smoke":
        return config
    dim = 3
    config.num_steps = 15_000
    config.batch_size = 512
    config.steps_per_call = 500
    config.log_every = 500
    config.checkpoint_every = 5_000
    config.keep_last = 1
    config.dataset.process.update(
        content_dim=dim, style_dim=dim, modality_dims=(dim, dim)
    )
    for encoder in config.encoders.values():
        encoder.widths = (128, 128, 128, 128, dim)
        encoder.uniform_init = False  # else 15,000 steps end with 2 of 3 dimensions
    config.optimizer = dict(
        fn=optim.adam_cosine,
        peak=1e-3,
        num_steps=config.get_ref("num_steps"),
        clip_norm=placeholder(float),  # 2.0 clips nearly every step, and learns slower
    )
    config.evals.latents.update(kernel_rows=1_500, num_rounds=1)
    return config
