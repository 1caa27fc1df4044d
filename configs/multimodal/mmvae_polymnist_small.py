"""MMVAE on five-view PolyMNIST, importance weighted, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mmvae_polymnist_small.py \
    --workdir=runs/mmvae_small
Expect: not yet run.
"""

from configs.multimodal import mmvae_polymnist, mopoe_polymnist_small


def get_config(mode=""):
    config = mmvae_polymnist.get_config(mode)
    if mode == "smoke":
        return config
    small = mopoe_polymnist_small.get_config()
    config.update({name: small[name] for name in ("num_steps", "batch_size")})
    config.latent_dim = small.latent_dim
    config.encoder.update(widths=small.encoder.widths, hidden=small.encoder.hidden)
    config.decoder.widths = small.decoder.widths
    config.optimizer.learning_rate = small.optimizer.learning_rate
    config.loss.num_samples = 1  # of each of five experts
    return config
