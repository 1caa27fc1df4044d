"""SimCLR on sprites whose color goes with their shape.

python -m repr_jax.main --config=configs/contrastive/simclr_sprites.py \
    --workdir=runs/simclr_sprites --config.correlation=1
Compare with configs/classification/supervised_sprites.py, and with
supervised_augmented_sprites.py beside it, which sees the same views.
Expect: at correlation 1, of one seed, out of distribution 0.75 by the OOD head and 0.54
by the ID head; in distribution 1.00.
"""

from configs.classification import supervised_augmented_sprites
from experiments import two_view
from repr_jax import losses
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    config = supervised_augmented_sprites.get_config(mode)
    del config.entry, config.num_classes
    config.experiment = two_view.make
    widths = (8, 4) if mode == "smoke" else (128, 64)
    config.projector = dict(fn=MLP, widths=widths)
    config.loss = dict(
        fn=losses.nt_xent,
        temperature=0.2,  # solo-learn, CIFAR-10
    )
    return config
