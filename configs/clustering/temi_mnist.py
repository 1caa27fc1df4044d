"""TEMI on MNIST: ten clusters of digits in which nearest neighbors fall together.

python -m repr_jax.main --config=configs/clustering/temi_mnist.py \
    --workdir=runs/temi
The published one sees features of a pretrained network; pixels are a small example, and
`fit.output_of` takes the features of a trained run.
Expect: not yet run.
"""

from configs.clustering import kmeans_mnist
from repr_jax.estimators import temi


def get_config(mode=""):
    smoke = mode == "smoke"
    config = kmeans_mnist.get_config(mode)
    few = dict(num_heads=2, num_steps=2, hidden_dim=8, bottleneck_dim=4)
    config.estimator = dict(fn=temi.fit, num_classes=10, **few if smoke else {})
    config.outputs.assign = dict(fn=temi.assign)
    return config
