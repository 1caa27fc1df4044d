"""MAE on MNIST with a small vision transformer that sees a quarter of the patches.

python -m repr_jax.main --config=configs/reconstruction/mae_mnist.py \
    --workdir=runs/mae
Share and optimizer are the published ones, but for a higher rate; networks, views and
length are ours. Pixels are predicted as they are: less its mean a patch that is all ink
is as flat as one without, so that nobody asks whether there is a stroke at all.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from experiments import masked
from repr_jax import losses, optim
from repr_jax.models import initializers, vit


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    del config.projector
    config.experiment = masked.make
    patches = dict(patch_size=4, shape=(28, 28, 1))
    config.encoder = dict(
        fn=vit.ViT,
        dim=8 if smoke else 64,
        depth=1 if smoke else 4,
        num_heads=4,
        mean=(0.131,),  # of the digits; positions would be louder than their pixels
        std=(0.309,),
        fixed_positions=True,
        kernel_init=initializers.xavier_uniform,  # app. A.1
        **patches,
    )
    config.decoder = dict(
        fn=vit.MaskedDecoder,
        dim=8 if smoke else 32,
        depth=1 if smoke else 2,
        num_heads=4,
        **patches,
    )
    config.hidden_share = 0.75  # section 4.1
    config.loss = dict(fn=losses.masked_patches)
    config.optimizer = dict(
        fn=optim.adam_cosine,
        peak=1e-3,  # table 8 has 1.5e-4 for 256 images and 800 epochs
        b2=0.95,
        weight_decay=0.05,
        excluded=r"(bias|scale)$",
        warmup_steps=0 if smoke else 100,
        num_steps=config.get_ref("num_steps"),
    )
    return config
