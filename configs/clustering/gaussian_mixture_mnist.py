"""A mixture of Gaussians on MNIST: ten components of digits by their pixels.

python -m repr_jax.main --config=configs/clustering/gaussian_mixture_mnist.py \
    --workdir=runs/gaussian_mixture
The ridge is the variance that a pixel always has: many are 0 in all digits.
Expect: accuracy 0.51, NMI 0.46, ARI 0.31 on the test split, of embedded digits; 15
processor seconds (2026-11-27).
"""

from configs.clustering import kmeans_mnist
from repr_jax.estimators import gaussian_mixture


def get_config(mode=""):
    config = kmeans_mnist.get_config(mode)
    config.estimator = dict(
        fn=gaussian_mixture.fit,
        num_components=10,
        covariance="diagonal",
        ridge=0.01,
        num_steps=2 if mode == "smoke" else 40,
    )
    config.outputs.assign = dict(fn=gaussian_mixture.assign)
    return config
