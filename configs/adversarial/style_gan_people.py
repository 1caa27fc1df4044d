"""A small style-based GAN on emoji of people, which PULSE searches.

python -m repr_jax.main --config=configs/adversarial/style_gan_people.py \
    --config.data_dir=DIR --workdir=runs/style_gan_people
As `ddpm_people` has it, all else as of drawn faces.
Expect: not yet run in full.
"""

from configs.adversarial import style_gan_faces
from configs.diffusion.ddpm_people import of_faces


def get_config(mode=""):
    return of_faces(style_gan_faces.get_config(mode), mode)
