"""pSp on emoji of people: an encoder into a trained style GAN.

python -m repr_jax.main --config=configs/reconstruction/psp_people.py \
    --config.start.source=runs/style_gan_people \
    --config.data_dir=DIR --workdir=runs/psp_people
As `ddpm_people` has it, all else as of drawn faces.
Expect: not yet run in full.
"""

from configs.adversarial import style_gan_people
from configs.reconstruction import psp_faces


def get_config(mode=""):
    return psp_faces.of_gan(style_gan_people.get_config(mode), mode)
