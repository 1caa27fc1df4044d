"""NCSN on emoji of people; Langevin dynamics makes them of means of 8 x 8 pixels.

python -m repr_jax.main --config=configs/diffusion/ncsn_people.py \
    --config.data_dir=DIR --workdir=runs/ncsn_people
As `ddpm_people` has it, all else as of drawn faces.
Expect: not yet run in full.
"""

from configs.diffusion import ncsn_faces
from configs.diffusion.ddpm_people import of_faces


def get_config(mode=""):
    return of_faces(ncsn_faces.get_config(mode), mode)
