"""NCSN on drawn faces; annealed Langevin dynamics makes them of means of 8 x 8 pixels.

python -m repr_jax.main --config=configs/diffusion/ncsn_faces.py --workdir=runs/ncsn
The form of levels and steps is the published one; their numbers, for small images, and
the network are ours.
Expect: not yet run in full.
"""

from configs.diffusion import ddpm_faces
from experiments import diffusion
from repr_jax import losses
from repr_jax.ops.langevin import geometric_levels


def get_config(mode=""):
    smoke = mode == "smoke"
    config = ddpm_faces.get_config(mode)
    config.experiment = diffusion.make_ncsn
    del config.alpha_bars
    del config.restorer
    config.loss = dict(fn=losses.score_matching)
    config.levels = dict(
        fn=geometric_levels,
        largest=20.0,  # about the largest distance of two faces
        smallest=0.01,
        num_levels=3 if smoke else 100,
    )
    del config.sampler
    config.sampler = dict(num_inner=1 if smoke else 3, step_size=5e-6)
    return config
