"""A classifier of dominoes: a digit goes with the class of the picture below it.

python -m repr_jax.main --config=configs/classification/supervised_dominoes.py \
    --workdir=runs/supervised_dominoes --config.correlation=1
What each method has on sprites, of the same sizes. Pictures are drawn; with
--config.dataset.pictures=cifar10 they are CIFAR-10's, and the numbers below shrink.
Expect: not yet run.
"""

from configs.classification import supervised_sprites
from repr_jax.data import dominoes


def of_sprites(config, mode):
    """A config of sprites, moved to dominoes; views are then of each block."""
    smoke = mode == "smoke"
    counts = {n: config.dataset[n] for n in ("num_train", "num_test", "num_head")}
    config.dataset = dict(
        fn=dominoes.load,
        r_id=config.get_ref("correlation"),
        r_ood=0.0,
        pictures="drawn",
        source="embedded",
        data_dir="",
        seed=config.get_ref("seed"),
        data_seed=config.get_ref("seed"),
        **counts,
    )
    if "num_classes" in config:
        config.num_classes = 2
    if "augment" in config:
        view = {**config.augment, "size": dominoes.SIZE}
        config.augment = dict(fn=dominoes.each_block, view=view)
    shape = (2 * dominoes.SIZE, dominoes.SIZE, 3)
    for part in ("encoder", "decoder"):
        if "shape" in config.get(part, {}):
            config[part].shape = shape
    if smoke:
        config.batch_size = 4
    return config


def get_config(mode=""):
    return of_sprites(supervised_sprites.get_config(mode), mode)
