"""k-means on MNIST: ten clusters of digits by their pixels.

python -m repr_jax.main --config=configs/clustering/kmeans_mnist.py \
    --workdir=runs/kmeans
Another estimator of vectors is three other lines: estimator, outputs, evals.
Expect: accuracy 0.544, NMI 0.503 on the 2,000 test digits, seed 0; half a minute.
"""

from configs.base import base
from experiments import fit
from repr_jax.data import mnist
from repr_jax.estimators import kmeans
from repr_jax.evaluators import clusters


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke fits 64 rows
    config = base(smoke=smoke)
    config.data_source = "embedded"  # or tfds: all of MNIST
    config.data_dir = ""  # of tfds; its own default if empty
    config.max_rows = 64 if smoke else 60_000  # of the training split, at random
    config.experiment = fit.make
    config.dataset = dict(
        fn=mnist.digits,
        source=config.get_ref("data_source"),
        data_dir=config.get_ref("data_dir"),
        seed=config.get_ref("seed"),
    )
    config.inputs = dict(fn=fit.vectors, name="image")
    config.estimator = dict(fn=kmeans.fit, num_clusters=10)
    config.outputs = dict(assign=dict(fn=kmeans.assign))
    config.evals.clusters = dict(fn=clusters.evaluate)
    if smoke:
        config.evals.clusters.limit = 64
    return config
