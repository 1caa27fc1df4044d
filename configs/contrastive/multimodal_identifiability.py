"""Identifiability of multimodal contrastive learning, the numerical experiment.

python -m repr_jax.main --config=configs/contrastive/multimodal_identifiability.py \
    --workdir=runs/identifiability
Expect: not yet run; some 85 PFLOP. multimodal_identifiability_cpu.py takes a minute.

Five settings are in the paper's table: style_change_rate 1.0, and 0.75 with neither,
either or both of --config.dataset.process.statistical and .causal, here and in
multimodal_identifiability_original.py. All of them, with their table:
python -m experiments.papers.multimodal_identifiability
"""

from ml_collections.config_dict import placeholder

from configs.base import base
from experiments import two_modality
from repr_jax import losses, optim
from repr_jax.data import content_style
from repr_jax.evaluators import latents, projection
from repr_jax.models import mlp
from repr_jax.ops import similarity


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    dim = 2 if smoke else 5  # published, of every kind of factor
    config.num_steps = 2 if smoke else 300_001  # as in the authors' code
    config.batch_size = 8 if smoke else 6_144  # published
    config.log_every = 1 if smoke else 1_000
    config.modalities = content_style.MODALITIES
    config.experiment = two_modality.make
    config.dataset = dict(
        fn=content_style.load,
        process=dict(
            fn=content_style.process,
            content_dim=dim,
            style_dim=dim,
            modality_dims=(dim, dim),
            style_change_rate=1.0,
            statistical=False,
            causal=False,
            shared_mixing=False,
            covariance_seeds="split",  # the authors' code: in effect "shared"
            seed=config.get_ref("seed"),
        ),
        num_fit=64 if smoke else 20_480,  # as in the authors' code
        num_test=64 if smoke else 20_480,
        seed=config.get_ref("seed"),
    )
    size = 3 * dim  # of an observation; widths as in the authors' code
    hidden = (10 * size, *4 * (50 * size,), 10 * size)
    encoder = dict(
        fn=mlp.MLP,
        widths=(16, dim) if smoke else (*hidden, dim),  # ends with the content's size
        negative_slope=0.01,
        uniform_init=True,
    )
    config.encoders = {name: dict(encoder) for name in config.modalities}
    config.loss = dict(
        fn=losses.symmetric_info_nce,
        similarity=similarity.negative_squared_distance,  # published
        temperature=1.0,  # published
        chunk_size=placeholder(int),  # such as 1_024, where batch x batch does not fit
    )
    config.optimizer = dict(
        fn=optim.adam,
        learning_rate=1e-4,  # published
        clip_norm=2.0,  # as in the authors' code
    )
    config.evals.latents = dict(
        fn=latents.evaluate,
        kernel_rows=20_480,  # as in the authors' code
        num_rounds=3,
        intervene=content_style.permute_content,
    )
    config.evals.projection = dict(fn=projection.evaluate)
    if smoke:
        config.evals.latents.update(kernel_rows=32, num_rounds=1)
        del config.evals.latents.intervene
    return config
