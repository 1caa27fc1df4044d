"""Streams and fixed arrays from a config to a trained and evaluated run."""

import jax
import jax.numpy as jnp

from configs.base import base
from repr_jax import logs, losses, optim, run
from repr_jax.data import streams, synthetic
from repr_jax.evaluators import linear_probe
from repr_jax.experiment import Experiment


def make(config):
    """Classifies labeled nodes by their neighbors, and keeps logits of blobs small."""

    def init(key, batch):
        return {"weights": jnp.zeros((16, 4))}, {}

    def represent(params, extras, batch, key):
        num_nodes = batch["features"].shape[0]
        sums = jax.ops.segment_sum(
            batch["features"][batch["senders"]], batch["receivers"], num_nodes
        )
        return (sums + batch["features"])[batch["node"]] @ params["weights"]

    def loss(params, extras, batch, key, step):
        whole = {name: x for name, x in batch.items() if name not in STREAMS}
        nodes = {**batch["labeled"], **whole}
        logits = represent(params, extras, nodes, key)
        pixels = batch["unlabeled"]["image"].reshape(-1, 192)[:, :16]
        pull = jnp.mean((pixels @ params["weights"]) ** 2)
        rows = jnp.float32(len(pixels) / len(logits))
        value = losses.cross_entropy(logits, batch["labeled"]["label"]) + 1e-3 * pull
        return value, (extras, {"ratio": rows})

    return Experiment(init, loss, outputs={"represent": represent})


STREAMS = dict(
    labeled=dict(fn=synthetic.graph, num_nodes=64, degree=12.0),
    unlabeled=dict(fn=synthetic.blobs, num_examples=16, seed=1),
)


def test_a_graph_and_unlabeled_images_train_one_model(tmp_path):
    config = base(smoke=True)
    with config.unlocked():
        config.experiment = make
        config.dataset = dict(
            fn=streams.together,
            streams=STREAMS,
            ratios=dict(unlabeled=3),
            evaluated="labeled",
        )
        config.optimizer = dict(fn=optim.adam_cosine, peak=0.1, num_steps=20)
        config.update(num_steps=20, batch_size=8, log_every=20, checkpoint_every=20)
        config.evals.probe = dict(fn=linear_probe.evaluate, num_train=32)
    run.train(config, tmp_path)
    assert logs.read(tmp_path)[-1]["ratio"] == 3
    found = run.evaluate(config, tmp_path)
    assert found["probe/accuracy"] > 0.6  # chance is 0.25
