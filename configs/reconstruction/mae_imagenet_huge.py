"""MAE of ImageNet with ViT-H/14: parameters and optimizer state are split over devices.

python -m repr_jax.main --config=configs/reconstruction/mae_imagenet_huge.py \
    --config.data_dir=DIR --workdir=gs://BUCKET/mae_imagenet_huge
With Adam the state of its 657 million parameters is 7.9 GB, which alone is half of a
TPU v5e's memory; `shard_state` leaves each device its part. What a step takes:
python -m experiments.launch.cost --config=configs/reconstruction/mae_imagenet_huge.py \
    --chip=v5e --chips=256
All else is of mae_imagenet.py, but data are of tensorflow-datasets in DIR, read ahead
by grain. For other sets of it set `name`.
Expect: not yet run. Published: accuracy 0.869 once all of it is fine-tuned.
"""

from configs.reconstruction import mae_imagenet
from repr_jax.data import tfds_images


def get_config(mode=""):
    config = mae_imagenet.get_config(mode)
    config.shard_state = True
    config.name = "imagenet2012"
    if mode == "smoke":
        return config
    config.dataset = dict(
        fn=tfds_images.streamed,
        name=config.get_ref("name"),
        splits=("train", "validation"),
        data_dir=config.get_ref("data_dir"),
        size=252,  # evaluated in 18 x 18 patches
        seed=config.get_ref("seed"),
    )
    config.encoder.update(patch_size=14, dim=1280, depth=32, num_heads=16)
    config.encoder.dtype = config.decoder.dtype = "bfloat16"
    config.decoder.patch_size = 14
    return config
