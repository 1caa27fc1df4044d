"""DINO on MNIST with a small vision transformer, two global and four local views.

python -m repr_jax.main --config=configs/distillation/dino_mnist.py \
    --workdir=runs/dino
The numbers of the loss, of its center and of the optimizer are the published ones, but
for a higher rate; network, its initialization, views, prototypes and length are ours,
and the head has batch normalization, as an option of the published code: a short run of
a narrow network without it ended at uniform predictions.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from experiments import ema_target
from repr_jax import losses, optim
from repr_jax.data import augment
from repr_jax.models import initializers, joint_embedding, vit
from repr_jax.ops import schedules


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    num_steps = config.get_ref("num_steps")
    config.experiment = ema_target.make_centered
    config.local_augment = dict(
        fn=augment.random_resized_crop, size=21, scale=(0.4, 0.7)
    )  # strokes as wide as in the image; of a fifth of it, many crops are empty
    config.num_local = 2 if smoke else 4
    config.encoder = dict(
        fn=vit.ViT,
        patch_size=7,
        dim=8 if smoke else 64,
        depth=1 if smoke else 4,
        num_heads=4,
        mean=(0.131,),  # of the digits
        std=(0.309,),
        shape=(28, 28, 1),
        kernel_init=initializers.xavier_uniform,  # 0.02 is of 384 features
    )
    config.projector = dict(
        fn=joint_embedding.PrototypeHead,
        widths=(8, 4) if smoke else (256, 256, 64),
        num_prototypes=16 if smoke else 1_024,
        batch_norm=True,  # outputs of a small network differ too little without
    )
    config.loss = dict(fn=losses.dino, temperature=0.1)
    config.target_temperature = dict(
        fn=schedules.linear, start=0.04, end=0.07, num_steps=num_steps
    )  # published over 30 of 100 epochs
    config.center_decay = 0.9
    config.freeze_steps = 1 if smoke else 70  # an epoch
    config.decay = dict(
        fn=schedules.cosine, start=0.99, end=1.0, num_steps=num_steps
    )  # 0.996 of 100 epochs
    config.optimizer = dict(
        fn=optim.adam_cosine,
        peak=1e-3,  # 5e-4 of 384 features or more, section 3.2
        warmup_steps=0 if smoke else 100,
        weight_decay=0.04,
        excluded=r"(bias|scale)$",
        clip_norm=3.0,
        num_steps=num_steps,
    )
    return config
