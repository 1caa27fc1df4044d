"""A classifier of tissue, tumor or none, whose hospital goes with the label.

python -m repr_jax.main --config=configs/classification/supervised_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/supervised_camelyon17 --config.correlation=1
DIR is camelyon17_v1.0 of WILDS, see `data.wilds`. With `.py:drawn` after the config's
name tissue is drawn instead and needs no files; with `.py:published` hospitals are
split as WILDS does, and there is no correlation.

All methods have one network and optimizer, which are ours. WILDS trains a DenseNet-121
for ten epochs of 32 images, by SGD of rate 0.001 and decay 0.01.
Expect: not yet run.
"""

from configs.classification import supervised_sprites
from repr_jax.data import histology, imagenet, recipes, wilds
from repr_jax.models.convnet import ConvNet
from repr_jax.models.resnet import ResNet

MODES = ("", "published", "drawn", "smoke")
GRID = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)  # of correlations to be compared


def of_sprites(config, mode):
    """A config of sprites, moved to tissue."""
    return of_domains(
        config,
        mode,
        drawn=histology.load,
        table=wilds.camelyon17_table,
        size=96,
        num_classes=2,
        assignment=tuple(wilds.HOSPITAL_LABELS.items()),
    )


def of_domains(config, mode, *, drawn, table, size, num_classes, **chosen):
    """A config of sprites, moved to images whose domain goes with the label.

    drawn, table: makers of a stand-in and of a table of WILDS, whose images have `size`
    pixels a side. chosen: what else `wilds.controlled` takes.
    """
    if mode not in MODES:
        names = ", ".join(MODES[1:])
        raise ValueError(f"mode: expected one of {names}, or none; got {mode}.")
    smoke, files = mode == "smoke", mode in MODES[:2]
    size = size if files else config.dataset.size if smoke else 48
    seed = config.get_ref("seed")
    same = dict(size=size, seed=seed, data_seed=seed)
    shift = dict(r_id=config.get_ref("correlation"), r_ood=0.0)
    if files:
        config.data_dir = ""
        same |= dict(table=dict(fn=table, path=config.get_ref("data_dir")))
        config.dataset = dict(fn=wilds.controlled, grid=GRID, **shift, **same, **chosen)
        for name in ("heads", "spurious"):  # of all rows that there are
            del config.evals[name].num_head
    else:
        names, counts = ("num_train", "num_test", "num_head"), (8_000, 2_000, 800)
        counts = [config.dataset[n] for n in names] if smoke else counts
        config.dataset = dict(fn=drawn, **shift, **same, **dict(zip(names, counts)))
        config.evals.heads.num_head = config.evals.spurious.num_head = counts[-1]
    if mode == "published":
        del config.correlation
        config.dataset = dict(fn=wilds.published, **same)
    if "num_classes" in config:
        config.num_classes = num_classes
    if not smoke:
        _widen(config, size, files)
    return config


def _widen(config, size, files):
    """Networks and views of images of this size, and more steps."""
    if config.num_steps > 100:  # which is of random features
        config.num_steps = 20_000 if files else 2_000
    widths = (32, 64, 128, 256, 256) if files else (32, 64, 64, 128)
    if files and config.encoder.fn is ConvNet:
        config.encoder = dict(
            fn=ResNet, features=0, mean=imagenet.RGB_MEAN, std=imagenet.RGB_STD
        )  # as WILDS's networks have it
    else:
        config.encoder.widths = widths
    if "decoder" in config:
        config.decoder.widths = widths[::-1]
    for part in ("encoder", "decoder"):
        if "shape" in config.get(part, {}):
            config[part].shape = (size, size, 3)
    if "augment" in config:
        recipe = recipes.SIMCLR if files else recipes.SPRITES
        config.augment = dict(fn=recipes.view, **{**recipe, "size": size})


def get_config(mode=""):
    return of_sprites(supervised_sprites.get_config(mode), mode)
