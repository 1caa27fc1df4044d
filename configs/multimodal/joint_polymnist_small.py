"""A joint VAE on five-view PolyMNIST: the first stage of TELBO and of JNF, for a CPU.

python -m repr_jax.main --config=configs/multimodal/joint_polymnist_small.py \
    --workdir=runs/joint_small
Expect: not yet run.
"""

from configs.multimodal import jmvae_polymnist_small


def get_config(mode=""):
    config = jmvae_polymnist_small.get_config(mode)  # without what trains experts
    config.loss.unimodal_weight = 0.0
    del config.schedules.unimodal_weight
    for name in ("linear_probe", "frechet", "clusters", "projection"):
        del config.evals[name]  # they ask for posteriors of some of the views
    config.evals.likelihood.given = ()  # log p(x) alone
    return config
