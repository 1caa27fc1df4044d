"""SimCLR on emoji, drawn by two artists, whose category is asked for.

python -m repr_jax.main --config=configs/contrastive/simclr_emoji.py \
    --config.data_dir=DIR --workdir=runs/simclr_emoji
DIR has emoji.npz, see `data.emoji`. What each method has on digits, but for the size of
the images.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax.data import emoji, synthetic


def of_mnist(config, mode):
    """A config of digits, moved to emoji: 32 x 32 pixels, in color, on white."""
    del config.data_source
    config.data_dir = ""  # the file, or the folder of emoji.npz
    config.dataset = dict(
        fn=emoji.pictures,
        path=config.get_ref("data_dir"),
        seed=config.get_ref("seed"),
    )
    if mode == "smoke":
        config.dataset = dict(fn=synthetic.blobs, size=32, seed=config.get_ref("seed"))
    config.augment.fill = 1.0
    for part in ("encoder", "decoder"):
        if "shape" in config.get(part, {}):
            config[part].shape = (32, 32, 3)
    if "mean" in config.encoder:
        config.encoder.update(mean=(0.757,), std=(0.296,))
    if config.encoder.get("patch_size") == 7:  # as many patches as of 28 pixels
        config.encoder.patch_size = 8
    if "local_augment" in config:
        config.local_augment.size = config.local_augment.size * 32 // 28
    if "num_classes" in config:
        config.num_classes = 9
    return config


def get_config(mode=""):
    return of_mnist(simclr_mnist.get_config(mode), mode)
