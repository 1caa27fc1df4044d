"""DDPM on emoji of people in six skin tones; DDRM makes them of means of 8 x 8 pixels.

python -m repr_jax.main --config=configs/diffusion/ddpm_people.py \
    --config.data_dir=DIR --workdir=runs/ddpm_people
DIR has emoji.npz, see `data.emoji`. Networks and steps are those of drawn faces.
Expect: not yet run in full.
"""

from configs.diffusion import ddpm_faces
from repr_jax.data import emoji_people


def of_faces(config, mode):
    """A config of drawn faces, moved to emoji of people; its smoke form stays there."""
    config.data_dir = ""  # the file, or the folder of emoji.npz
    if mode == "smoke":
        return config
    path = config.get_ref("data_dir")
    config.dataset = dict(
        fn=emoji_people.load,
        path=path,
        size=32,
        shares=(1 / 6,) * 6,  # of the tones in training
        anchor=1,  # the light one, of which all are kept
        class_balanced=False,
        seed=config.get_ref("seed"),
    )
    config.evals.fairness.num_classes = 6
    config.evals.fairness.judge_data = dict(
        fn=emoji_people.load, path=path, size=config.dataset.get_ref("size")
    )
    return config


def get_config(mode=""):
    return of_faces(ddpm_faces.get_config(mode), mode)
