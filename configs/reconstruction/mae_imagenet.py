"""MAE on ImageNet with a ViT-B/16: published networks and optimizer, 800 epochs.

python -m repr_jax.main --config=configs/reconstruction/mae_imagenet.py \
    --config.data_dir=DIR --workdir=runs/mae_imagenet
Data are those of configs/contrastive/simclr_imagenet.py. Patches are predicted less
their mean, divided by their deviation.
Expect: not yet run. Published: linear accuracy of ViT-B of 1,600 epochs 0.680.
"""

from configs.contrastive import simclr_imagenet
from configs.contrastive.simclr_imagenet import of_recipe, steps
from configs.reconstruction import mae_mnist
from repr_jax.data import imagenet, recipes
from repr_jax.losses import reconstruction


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_imagenet.get_config(mode, num_epochs=800)
    del config.projector
    small = mae_mnist.get_config(mode)
    for name in ("experiment", "hidden_share", "loss", "encoder", "decoder"):
        config[name] = small[name]
    config.augment = of_recipe(recipes.MAE, mode)
    size = config.augment.size
    if not smoke:
        config.encoder.update(patch_size=16, dim=768, depth=12, num_heads=12)
        config.decoder.update(patch_size=16, dim=512, depth=8, num_heads=16)
    config.encoder.update(mean=imagenet.RGB_MEAN, std=imagenet.RGB_STD)
    for part in ("encoder", "decoder"):
        config[part].shape = (size, size, 3)
    config.target = dict(fn=reconstruction.normalized_patches)  # section 4.1
    config.optimizer = {**small.optimizer, "num_steps": config.get_ref("num_steps")}
    if not smoke:
        config.optimizer.peak = 2.4e-3  # 1.5e-4 for 256 images, table 8
        config.optimizer.warmup_steps = steps(40, config.batch_size)
    return config
