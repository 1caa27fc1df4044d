"""SimCLR on ImageNet with a ResNet-50: published views, LARS and schedule, 100 epochs.

python -m repr_jax.main --config=configs/contrastive/simclr_imagenet.py \
    --config.data_dir=DIR --workdir=runs/simclr_imagenet
DIR has train/ and val/, see `data.imagenet.images`, whose squares of 256 pixels views
are cut from; published ones are cut from whole images. A batch is of all devices
together; with --config.accumulate negatives are of a part alone.
Expect: not yet run. Published: linear accuracy of 100 epochs of 4,096 images in figure
9 of the paper, of 1,000 epochs 0.693.
"""

from configs.base import base
from experiments import two_view
from repr_jax import losses, optim
from repr_jax.data import imagenet, recipes, synthetic
from repr_jax.evaluators import knn, linear_probe, rank
from repr_jax.models.mlp import MLP
from repr_jax.models.resnet import Bottleneck, ResNet


def of_recipe(recipe, mode):
    """A view of the published size; in the smoke form of a seventh of it."""
    size = recipe["size"] // 7 if mode == "smoke" else recipe["size"]
    return dict(fn=recipes.view, **{**recipe, "size": size})


def steps(num_epochs, batch_size):
    """So many epochs of ImageNet, in steps."""
    return num_epochs * imagenet.NUM_TRAIN // batch_size


def get_config(mode="", *, num_epochs=100, batch_size=4_096):
    smoke = mode == "smoke"
    config = base(smoke=smoke)
    config.batch_size = 8 if smoke else batch_size
    config.num_steps = 2 if smoke else steps(num_epochs, batch_size)
    config.data_dir = ""
    config.experiment = two_view.make
    config.dataset = dict(
        fn=imagenet.images,
        path=config.get_ref("data_dir"),
        seed=config.get_ref("seed"),
    )
    config.augment = of_recipe(recipes.SIMCLR, mode)
    config.encoder = dict(
        fn=ResNet,
        features=0,
        block=Bottleneck,
        blocks=(1, 1) if smoke else (3, 4, 6, 3),
        width=4 if smoke else 64,
    )
    widths = (8, 4) if smoke else (2048, 128)
    config.projector = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.nt_xent, temperature=0.1)
    config.optimizer = dict(
        fn=optim.lars_cosine,
        peak=4.8,  # 0.3 for 256 images, section 2.2
        weight_decay=1e-6,
        excluded=r"(bias|scale)$",  # app. B.6
        warmup_steps=0 if smoke else steps(10, batch_size),
        num_steps=config.get_ref("num_steps"),
    )
    config.evals.knn = dict(fn=knn.evaluate, max_train=100_000)
    config.evals.linear_probe = dict(fn=linear_probe.evaluate, max_train=100_000)
    config.evals.rank = dict(fn=rank.evaluate)
    if smoke:
        config.dataset = dict(fn=synthetic.blobs, size=32, seed=config.get_ref("seed"))
        config.evals.knn.update(max_train=64, num_neighbors=(20,))
        config.evals.linear_probe.update(max_train=64, num_train=32)
        config.evals.rank.limit = 64
    return config
