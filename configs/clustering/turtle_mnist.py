"""TURTLE on MNIST: the labeling that linear classifiers of pixels learn best.

python -m repr_jax.main --config=configs/clustering/turtle_mnist.py \
    --workdir=runs/turtle
The published one sees features of pretrained networks; pixels are a small example.
Expect: not yet run.
"""

from configs.clustering import kmeans_mnist
from experiments import fit
from repr_jax.estimators import turtle


def get_config(mode=""):
    smoke = mode == "smoke"
    config = kmeans_mnist.get_config(mode)
    config.inputs = dict(pixels=dict(fn=fit.vectors, name="image"))  # or more spaces
    few = dict(num_steps=2, num_inner_steps=2)
    config.estimator = dict(fn=turtle.fit, num_classes=10, **few if smoke else {})
    config.outputs.assign = dict(fn=turtle.assign)
    return config
