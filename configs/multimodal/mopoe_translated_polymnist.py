"""MoPoE-VAE on Translated-PolyMNIST: each view's digit smaller, at its own place.

python -m repr_jax.main --config=configs/multimodal/mopoe_translated_polymnist.py \
    --config.data_source=tfds --config.data_dir=DIR --workdir=runs/mopoe_translated
The networks are residual, as in later papers on this set.
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist
from repr_jax.models import vae_residual


def get_config(mode=""):
    config = mopoe_polymnist.get_config(mode)  # data, loss, rate: MoPoE's
    smoke = mode == "smoke"
    config.scale = 0.75  # published; 0.5 too
    config.encoder = dict(
        fn=vae_residual.ResidualEncoder,
        latent_dim=config.get_ref("latent_dim"),
        width=4 if smoke else 64,
        widths=(4, 4, 4) if smoke else (64, 128, 256),
        dtype="float32",
    )
    config.decoder = dict(
        fn=vae_residual.ResidualDecoder,
        width=4 if smoke else 256,
        widths=(4, 4, 4) if smoke else (128, 64, 64),
        dtype="float32",
    )
    return config
