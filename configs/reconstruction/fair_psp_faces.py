"""A debiased pSp on drawn faces: classes in balance, styles told apart by class.

python -m repr_jax.main --config=configs/reconstruction/fair_psp_faces.py \
    --config.start.source=runs/style_gan --workdir=runs/fair_psp
As `psp_faces`. Augmentation and temperature are the published ones; the curriculum has
its form, but rises faster, since runs are shorter. `losses.swapped_cross_entropy` is
what a published implementation takes for the attribute.
Expect: not yet run in full.
"""

from configs.reconstruction import psp_faces
from experiments import style_encoder
from repr_jax import losses, optim
from repr_jax.data import augment
from repr_jax.models.classifier import ConvClassifier


def of_psp(config, mode):
    """A config of pSp as one of the debiased form."""
    smoke = mode == "smoke"
    config.best_metric = ""  # the loss rises with the curriculum
    config.experiment = style_encoder.make_fair
    config.dataset.class_balanced = True
    config.augment = dict(
        fn=augment.affine, shift=0.1, zoom=0.1, shear=10.0, flip_rate=0.5
    )
    num_classes = config.evals.fairness.num_classes
    config.classifier = dict(fn=ConvClassifier, num_classes=num_classes, dropout=0.0)
    config.contrast = dict(fn=losses.sup_con, temperature=0.07)
    config.attribute = dict(fn=losses.cross_entropy)
    config.curriculum = dict(rate=0.01, every=1 if smoke else 1_000)
    config.optimizer.classifier = dict(fn=optim.adam, learning_rate=1e-3)
    return config


def get_config(mode=""):
    return of_psp(psp_faces.get_config(mode), mode)
