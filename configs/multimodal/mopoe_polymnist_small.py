"""MoPoE-VAE on five-view PolyMNIST at full contrast, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mopoe_polymnist_small.py \
    --workdir=runs/mopoe_small
Expect: 10 steps/s and 1.4 GB on two cores; after 36,000 steps, an hour, a linear probe
of 0.88 from one view to 0.99 from five, coherence of 0.64 to 0.81:
experiments/results/mopoe_polymnist.md.
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
