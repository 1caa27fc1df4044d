"""MoPoE-VAE on five-view PolyMNIST at full contrast, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mopoe_polymnist_small.py \
    --workdir=runs/mopoe_small
Expect: not yet run to its end; speed and memory in experiments/RESULTS.md.
"""

from configs.multimodal import mopoe_polymnist


def get_config(mode=""):
    config = mopoe_polymnist.get_config(mode)
    if mode == "smoke":
        return config
    config.num_steps = 40_000
    config.batch_size = 128
    config.latent_dim = 64
    config.encoder.widths = (16, 32, 64)
    config.encoder.hidden = 256
    config.decoder.widths = (64, 32, 16)
    config.optimizer.learning_rate = 1e-3
    config.loss.beta = 1.0
    return config
