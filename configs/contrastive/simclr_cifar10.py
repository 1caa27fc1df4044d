"""SimCLR on CIFAR-10, or any images that tensorflow-datasets has, with small networks.

python -m repr_jax.main --config=configs/contrastive/simclr_cifar10.py \
    --config.data_dir=DIR --workdir=runs/simclr_cifar10
For others set `name`, what it calls its splits, and `size`, such as
`--config.name=food101 --config.splits='("train","validation")' --config.size=64`.
The loss is the published one; network, views (no changes of color but in brightness
and contrast) and schedule are ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax.data import synthetic, tfds_images


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    del config.data_source
    config.num_steps = 2 if smoke else 20_000
    config.name = "cifar10"
    config.splits = ("train", "test")
    config.size = 32  # of images, which are brought to it
    config.label = "label"
    fields = ("name", "splits", "data_dir", "size", "label", "seed")
    config.dataset = dict(
        fn=tfds_images.images, **{field: config.get_ref(field) for field in fields}
    )
    if smoke:
        config.dataset = dict(fn=synthetic.blobs, size=32)
    config.augment.fill = 0.5
    return config
