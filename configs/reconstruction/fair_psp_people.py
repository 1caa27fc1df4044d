"""A debiased pSp on emoji of people.

python -m repr_jax.main --config=configs/reconstruction/fair_psp_people.py \
    --config.start.source=runs/style_gan_people \
    --config.data_dir=DIR --workdir=runs/fair_psp_people
As `ddpm_people` has it, all else as of drawn faces.
Expect: not yet run in full.
"""

from configs.reconstruction import fair_psp_faces, psp_people


def get_config(mode=""):
    return fair_psp_faces.of_psp(psp_people.get_config(mode), mode)
