"""Emoji of two artists and their names in one space: CLIP over three modalities.

python -m repr_jax.main --config=configs/contrastive/clip_emoji.py \
    --config.data_dir=DIR --workdir=runs/emoji
DIR has emoji.npz, see `data.emoji`. A fifth of the emoji is held out, so that none of
them is on both sides, in any skin tone. All settings are ours; there is no published
figure to compare with.
Expect: recall@1 of 0.61 between artists, 0.19 between pictures and names, 0.003 by
chance; 12 steps/s and 1.0 GB on two cores.
"""

from configs.base import base
from experiments import two_modality
from repr_jax import losses, optim
from repr_jax.data import augment, emoji, synthetic
from repr_jax.evaluators import projection, retrieval
from repr_jax.models import mlp
from repr_jax.models.convnet import ConvNet


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 4_000
    config.batch_size = 8 if smoke else 256
    config.modalities = emoji.IMAGES if smoke else emoji.MODALITIES
    config.data_dir = ""  # the file, or the folder of emoji.npz
    config.experiment = two_modality.make
    config.dataset = dict(
        fn=emoji.load,
        path=config.get_ref("data_dir"),
        modalities=config.get_ref("modalities"),
        seed=config.get_ref("seed"),
    )
    if smoke:
        config.dataset = dict(fn=synthetic.multiview, modalities=emoji.IMAGES, size=32)
    widths, dim = ((4, 4), 4) if smoke else ((32, 64, 128), 128)
    image = dict(fn=ConvNet, features=dim, widths=widths, hidden=8 if smoke else 512)
    config.encoders = {name: dict(image) for name in emoji.IMAGES}
    config.augment = {name: dict(fn=augment.jitter) for name in emoji.IMAGES}
    config.loss = dict(fn=losses.clip)
    if not smoke:
        config.encoders.name = dict(fn=mlp.MLP, widths=(512, dim))
        config.augment.name = dict(fn=augment.dropout, rate=0.2)
    config.temperature = dict(initial=0.07, lowest=0.01)
    config.optimizer = dict(
        fn=optim.adam_cosine,
        peak=1e-3,
        num_steps=config.get_ref("num_steps"),
        warmup_steps=0 if smoke else 200,
    )
    config.evals.retrieval = dict(fn=retrieval.evaluate)
    config.evals.projection = dict(fn=projection.evaluate)
    return config
