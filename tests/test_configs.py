"""Every config: the full form traced, and one smoke run for each structure."""

import functools
import pathlib
import re

import jax
import ml_collections
import numpy as np
import pytest

from repr_jax import config as configs
from repr_jax import logs, run, train
from repr_jax.experiment import Fit
from tests import wilds_trees
from tests.lanes import slow_unless

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
FILES = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.glob("*/*.py")
    if path.name != "__init__.py"
)


def structure(name):
    """(experiment, estimator) of a config, its dataset, and its evaluators."""
    config = configs.load(f"{CONFIGS / name}:smoke")
    evaluators = {choice.fn.__module__ for choice in config.evals.values()}
    estimator = config.get("estimator", {}).get("fn")
    return (config.experiment, estimator), config.dataset.fn, frozenset(evaluators)


def speaking_for(structures):
    """Of {(..., evaluators): name}, those that have evaluators which no other has."""
    return {
        (*kind, evaluators): name
        for (*kind, evaluators), name in structures.items()
        if not any(kind == k and evaluators < e for *k, e in structures)
    }


@functools.cache
def has(name):
    """What a config has that its smoke run tries: evaluators, and its estimator."""
    kind, _, evaluators = structure(name)
    return {*evaluators, *([kind] if kind[1] else [])}


def covering(names):
    """Names that together have what all of them have; few, largest first."""
    left, chosen = set().union(*map(has, names)), []
    while left:
        chosen.append(max(names, key=lambda name: len(has(name) & left)))
        left -= has(chosen[-1])
    return chosen


# One smoke run speaks for all of its experiment and dataset whose evaluators it has.
# `make test` has one for each evaluator and estimator: an evaluator sees outputs alone,
# and experiments and readers have tests of their own. Of multimodal models test_main.py
# runs one with their many evaluators; so are those of SLOW left to their own tests.
SLOW = ("multimodal/", "diffusion/", "adversarial/style_gan_")
SLOW += ("reconstruction/psp_", "reconstruction/fair_psp_", "contrastive/multimodal3d")
SPEAKERS = speaking_for({structure(name): name for name in reversed(FILES)})
SPEAKING = sorted(SPEAKERS.values())
QUICK = covering([name for name in SPEAKING if not name.startswith(SLOW)])
# Every config is built. `make test` traces the full form, and a step of the smoke form,
# of one config for each experiment that it does not run.
STEPS = {
    structure(name)[0]: name
    for name in reversed(SPEAKING)
    if structure(name)[0] not in {structure(quick)[0] for quick in QUICK}
}


RUN = slow_unless(QUICK, SPEAKING)
TRACED = slow_unless(STEPS.values(), sorted(set(FILES) - set(QUICK)))
FULL = slow_unless([*STEPS.values(), *QUICK], FILES)


def test_there_are_configs():
    assert len(FILES) >= 5 and 3 <= len(RUN) <= len(FILES)


@pytest.mark.parametrize("name", RUN)
def test_smoke_form_trains_and_is_evaluated(name, tmp_path):
    config = configs.load(f"{CONFIGS / name}:smoke")
    run.train(config, tmp_path)
    if not isinstance(run.build(config).experiment, Fit):
        history = logs.read(tmp_path)
        assert [row["step"] for row in history] == [1, 2]
        assert all(np.isfinite(list(row.values())).all() for row in history)
    metrics = run.evaluate(config, tmp_path)
    assert np.isfinite(list(metrics.values())).all()
    report = tmp_path / "report"
    for evaluator in config.evals:  # numbers, or pictures alone
        drawn = list(report.glob(f"{evaluator}_*.png"))
        assert drawn or any(key.startswith(f"{evaluator}/") for key in metrics)
    assert (report / "index.html").exists()


@pytest.mark.parametrize("name", TRACED)
def test_smoke_form_can_be_built_and_its_step_traced(name):
    config = configs.load(f"{CONFIGS / name}:smoke")
    parts = run.build(config)
    if not isinstance(parts.experiment, Fit):
        state = run.abstract_state(config, parts)
        batch = next(parts.dataset.train(config.batch_size))
        step = train.make_step(parts, config)
        after, metrics = jax.eval_shape(step, state, batch, dict(parts.dataset.fixed))
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert set(metrics) == set(state.sums)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A user's file, as `configs/multimodal/mopoe_arrays.py` describes it."""
    rng, file = np.random.default_rng(0), tmp_path_factory.mktemp("study") / "study.npz"
    there = np.arange(30) % 3
    np.savez(
        file,
        image=rng.integers(256, size=(30, 32, 32, 3), dtype=np.uint8),
        reading=rng.normal(size=(30, 12)),
        image_present=there > 0,
        reading_present=there < 2,
        diagnosis=np.array(["a", "b", "c"])[np.arange(30) // 10],
    )
    return str(file)


@pytest.fixture(scope="module")
def wilds(tmp_path_factory):
    """{what is in names of configs: a folder of WILDS}"""
    root = tmp_path_factory.mktemp("wilds")
    makers = (wilds_trees.camelyon17, wilds_trees.fmow)
    return {make.__name__: str(make(root)) for make in makers}


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Two classes of eight images in each split."""
    folder = tmp_path_factory.mktemp("imagenet")
    places = [(s, c, i) for s in ("train", "val") for c in "ab" for i in range(8)]
    paths = [folder / s / c / f"{i}.png" for s, c, i in places]
    wilds_trees.write_copies(paths, 300)
    return str(folder)


@pytest.fixture
def full_form(emoji_file, people_file, fake_tfds, study, wilds, imagenet):
    """full_form(name) -> the config of a file as it is, on files that are here."""
    found = {"emoji": emoji_file, "cifar10": fake_tfds, "celeba": fake_tfds}
    found |= {"mopoe_arrays": study, "_people": people_file, **wilds}
    found |= {"imagenet_huge": fake_tfds, "imagenet.": imagenet}

    def full_form(name):
        if "imagenet_huge" in name:
            pytest.importorskip("grain")
        needed = [path for word, path in found.items() if word in name]
        overrides = {"data_dir": needed[0]} if needed else {}
        if "imagenet" in name:
            overrides["batch_size"] = 8  # of thousands
        config = configs.load(str(CONFIGS / name), overrides)
        if "num_local" in config:
            config.num_local = 1  # of several views alike
        return config

    return full_form


@pytest.mark.parametrize("name", FILES)
def test_full_form_can_be_built(name, full_form):
    assert run.build(full_form(name)).experiment
    assert (CONFIGS / name).read_text().count("Expect:") == 1


@pytest.mark.parametrize("name", FULL)
def test_full_form_can_be_traced(name, full_form):
    config = full_form(name)
    parts = run.build(config)
    if not isinstance(parts.experiment, Fit):
        shapes = run.abstract_state(config, parts)
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes.params)) > 10_000


MODES = [name for name in FILES if re.search("(simclr|autoencoder)_(cam|fm)", name)]


@pytest.mark.parametrize("name", MODES)
def test_stand_ins_for_files_can_be_built_and_traced(name):
    config = configs.load(f"{CONFIGS / name}:drawn")
    assert run.abstract_state(config, run.build(config)).params


@pytest.mark.parametrize("name", [n for n in MODES if "simclr" in n])
def test_published_splits_can_be_read_and_a_mode_that_is_none_is_refused(name, wilds):
    (data_dir,) = (path for word, path in wilds.items() if word in name)
    config = configs.load(f"{CONFIGS / name}:published", {"data_dir": data_dir})
    parts = run.build(config)
    assert {"train", "ood_head", "ood_test", "ood_val"} <= {*parts.dataset.num_examples}
    with pytest.raises(ValueError, match=r"expected one of .* got painted"):
        configs.load(f"{CONFIGS / name}:painted")


def nodes(config, path="config"):
    """Pairs of a path and what is there, of every node and field."""
    for name in config:
        value = config._fields[name]
        yield f"{path}.{name}", value
        if isinstance(value, ml_collections.ConfigDict):
            yield from nodes(value, f"{path}.{name}")


@pytest.mark.parametrize("mode", ["", ":smoke"])
@pytest.mark.parametrize("name", FILES)
def test_values_are_shared_by_reference_alone_and_all_can_be_set(name, mode):
    """One node at two paths would change at both when one is overridden, and be two
    once stored; a plain None takes no value from the command line."""
    config = configs.load(f"{CONFIGS / name}{mode}")
    seen = {}
    for path, value in nodes(config):
        assert value is not None, f"{path}: a placeholder can be set, None cannot"
        if isinstance(value, ml_collections.ConfigDict):
            assert id(value) not in seen, (path, seen[id(value)])
            seen[id(value)] = path
    stored = configs.to_json(config)
    assert configs.to_json(configs.from_json(stored)) == stored


def test_a_value_that_several_choices_need_is_set_once():
    override = {"loss.prior_expert": "none", "loss.log_likelihood.scale": 0.5}
    config = configs.load(str(CONFIGS / "multimodal/mopoe_polymnist.py"), override)
    assert config.posterior.prior_expert == config.bound.prior_expert == "none"
    assert config.bound.log_likelihood.scale == 0.5
