"""MAE of ImageNet with ViT-H/14: parameters and optimizer state are split over devices.

python -m repr_jax.main --config=configs/reconstruction/mae_imagenet.py \
    --config.data_dir=DIR --workdir=gs://BUCKET/mae_imagenet
With Adam the state of its 657 million parameters is 7.9 GB, which alone is half of a
TPU v5e's memory; `shard_state` leaves each device its part. What a step takes:
python -m experiments.launch.cost --config=configs/reconstruction/mae_imagenet.py \
    --chip=v5e --chips=256
Sizes, rates and length are the published ones; images are squares of 224 pixels before
they are cropped, and are not flipped. For other sets of tensorflow-datasets set `name`.
Expect: not yet run.
"""

from configs.reconstruction import mae_mnist
from repr_jax.data import augment, synthetic, tfds_images
from repr_jax.evaluators import linear_probe


def get_config(mode=""):
    smoke = mode == "smoke"
    config = mae_mnist.get_config(mode)
    size = 28 if smoke else 224
    del config.data_source
    config.shard_state = True
    config.batch_size = 8 if smoke else 4_096  # table 8
    config.num_steps = 2 if smoke else 250_000  # 800 epochs
    config.name = "imagenet2012"
    config.dataset = dict(
        fn=tfds_images.streamed,
        name=config.get_ref("name"),
        splits=("train", "validation"),
        data_dir=config.get_ref("data_dir"),
        size=size,
        seed=config.get_ref("seed"),
    )
    if smoke:
        config.dataset = dict(fn=synthetic.blobs, size=size)
    config.augment = dict(fn=augment.random_resized_crop, size=size, scale=(0.2, 1.0))
    shape = (size, size, 3)
    config.encoder.update(patch_size=14, shape=shape)
    config.decoder.update(patch_size=14, shape=shape)
    if not smoke:
        config.encoder.update(dim=1280, depth=32, num_heads=16, dtype="bfloat16")
        config.decoder.update(dim=512, depth=8, num_heads=16, dtype="bfloat16")
        config.optimizer.peak = 1.5e-4 * 4_096 / 256
        config.optimizer.warmup_steps = 12_500  # 40 epochs
    config.evals = dict(probe=dict(fn=linear_probe.evaluate))
    return config
