"""Configs of sprites and dominoes: what they share, and that heads move no backbone."""

import hashlib

import jax
import numpy as np
import pytest

from repr_jax import config as configs
from repr_jax import run
from repr_jax.evaluators import trained

METHODS = {
    "classification": ("supervised", "supervised_augmented", "random"),
    "contrastive": ("simclr",),
    "distillation": ("simsiam", "byol"),
    "reconstruction": ("autoencoder",),
    "variational": ("vae", "iwae"),
}
SEEN_AS_VIEWS = ("simclr", "augmented", "simsiam", "byol")
FILES = [
    f"configs/{family}/{method}_{data}.py"
    for data in ("sprites", "dominoes")
    for family, methods in METHODS.items()
    for method in methods
]


def digest(tree):
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("file", FILES)
def test_the_correlation_and_the_seed_reach_the_data_and_all_share_it(file, repository):
    config = configs.load(str(repository / file), {"correlation": 0.25, "seed": 7})
    data = config.dataset
    assert (data.r_id, data.r_ood, data.seed, data.data_seed) == (0.25, 0.0, 7, 7)
    assert (data.num_train, data.num_test, data.num_head) == (6_000, 2_000, 1_000)
    assert tuple(config.encoder.widths) == (32, 64, 64)
    vae = "variational" in file  # dense layer of 128, then mean and log-variance
    assert config.encoder["hidden" if vae else "features"] == 128
    assert config.batch_size == 128
    assert {"heads", "spurious", "knn"} <= set(config.evals)
    assert ("augment" in config) == any(name in file for name in SEEN_AS_VIEWS)


def test_random_features_do_not_move_but_their_statistics_do(repository, tmp_path):
    file = f"{repository / 'configs/classification/random_sprites.py'}:smoke"
    one, two = (
        run.train(configs.load(file, {"num_steps": n}), tmp_path / str(n))
        for n in (1, 2)
    )
    assert digest(one.params) == digest(two.params)
    assert digest(one.extras) != digest(two.extras)


def test_heads_leave_the_backbone_and_its_statistics_as_they_are(repository, tmp_path):
    file = f"{repository / 'configs/classification/supervised_sprites.py'}:smoke"
    config = configs.load(file, {"dataset.num_train": 120})
    parts = run.build(config)
    batch = parts.dataset.prepare(next(parts.dataset.evaluate("test", 8)))
    params, extras = parts.experiment.init(jax.random.key(0), batch)
    before = digest((params, extras))
    assert jax.tree.leaves(extras)  # statistics of batch normalization
    model = trained.of_state(parts, params, extras, tmp_path)
    for name in ("heads", "spurious"):
        evaluation = configs.bind(config.evals[name])(model, parts.dataset)
        assert np.isfinite(list(evaluation.numbers.values())).all()
        assert evaluation.tables[0].title.endswith(": spurious") == (name == "spurious")
    assert digest((params, extras)) == before
