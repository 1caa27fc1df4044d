"""The generative process: against loops, its moments, splits and closed form."""

import functools

import jax
import numpy as np
import pytest

from repr_jax.data import content_style, mixing
from repr_jax.data.content_style import BLOCKS, FACTORS, STREAMS

SMALL = dict(content_dim=2, style_dim=3, modality_dims=(1, 2))


def make(num_rows=20_000, seed=0, **keywords):
    process = functools.partial(content_style.process, seed=seed, **keywords)
    data = content_style.load(
        process=process, num_fit=num_rows, num_test=num_rows, seed=seed
    )
    return data, process()


def prepared(data, batch):
    return jax.tree.map(np.asarray, jax.jit(data.prepare)(batch))


@pytest.fixture(scope="module")
def everything():
    """20,000 test rows of a process with every kind of dependence."""
    data, process = make(style_change_rate=0.75, statistical=True, causal=True, **SMALL)
    return prepared(data, next(data.evaluate("test", 20_000))), process


def row_in_loops(process, noise):
    """The five equations of the process, number by number in float64."""
    root = {block: np.linalg.cholesky(process.covariances[block]) for block in BLOCKS}

    def correlated(block):
        n = len(root[block])
        mine = [noise.pop(0) for _ in range(n)]
        return [sum(root[block][i, j] * mine[j] for j in range(n)) for i in range(n)]

    draws = {block: correlated(block) for block in BLOCKS}
    style, changed = [], []
    for i, a in enumerate(process.offset):
        cause = sum(b * c for b, c in zip(process.effect[i], draws["content"]))
        style.append(a + cause + draws["style"][i])
        # a normal number below -0.6745, 0 or 0.6745: with probability 1/4, 1/2 or 3/4
        threshold = {0.25: -0.6744897502, 0.5: 0.0, 0.75: 0.6744897502}
        changes = noise.pop(0) < threshold[process.change_rate]
        changed.append(style[i] + (draws["change"][i] if changes else 0.0))
    z1 = [*draws["content"], *style, *draws["modality1"]]
    z2 = [*draws["content"], *changed, *draws["modality2"]]
    found = {"style": style, "style_changed": changed}
    found |= {name: draws[name] for name in ("content", "modality1", "modality2")}
    for name, z, f in zip(("x1", "x2"), (z1, z2), process.mixings):
        for layer, matrix in enumerate(f.weights):
            z = matrix @ np.array(z)
            if layer < len(f.weights) - 1:
                z = np.where(z < 0, 0.2 * z, z)
        found[name] = z
    return found


@pytest.mark.parametrize("change_rate", [0.25, 0.5, 0.75])
def test_rows_match_loops(change_rate):
    data, process = make(
        seed=5, style_change_rate=change_rate, statistical=True, causal=True, **SMALL
    )
    batch = next(data.train(4, start_step=2))
    found = prepared(data, batch)
    for row in range(4):
        key = jax.random.fold_in(jax.random.key(5), 0)  # the stream of training
        key = jax.random.fold_in(key, batch["id"][row])
        size = sum(len(c) for c in process.covariances.values()) + 3
        noise = np.asarray(jax.random.normal(key, (size,)), np.float64).tolist()
        for name, expected in row_in_loops(process, noise).items():
            np.testing.assert_allclose(found[name][row], expected, rtol=2e-5, atol=2e-5)


def test_moments_of_every_block(everything):
    found, process = everything
    n = len(found["content"])
    innovation = found["style"] - process.offset - found["content"] @ process.effect.T
    for block, draws in (
        ("content", found["content"]),
        ("style", innovation),
        ("modality1", found["modality1"]),
        ("modality2", found["modality2"]),
    ):
        expected = process.covariances[block]
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        error = np.abs(np.cov(draws.T) - expected) / scale
        assert error.max() < 5 * np.sqrt(2 / n), block  # five standard errors
        mean = np.abs(draws.mean(axis=0)) / np.sqrt(np.diag(expected))
        assert mean.max() < 5 / np.sqrt(n), block


def test_style_changes_as_often_and_as_far_as_it_should(everything):
    found, process = everything
    rate, change = 0.75, process.covariances["change"]
    difference = found["style_changed"] - found["style"]
    share = np.mean(difference != 0, axis=0)
    np.testing.assert_allclose(
        share, rate, atol=3 * np.sqrt(rate * (1 - rate) / len(difference))
    )
    np.testing.assert_allclose(
        np.var(difference, axis=0), rate * np.diag(change), rtol=0.06
    )
    mask = difference != 0
    agree = np.mean(mask[:, 0] == mask[:, 1])  # the mask is independent by coordinate
    np.testing.assert_allclose(agree, rate**2 + (1 - rate) ** 2, atol=0.015)
    both = mask[:, 0] & mask[:, 1]  # but the change is one correlated vector
    seen = np.corrcoef(difference[both][:, :2].T)[0, 1]
    expected = change[0, 1] / np.sqrt(change[0, 0] * change[1, 1])
    np.testing.assert_allclose(seen, expected, atol=0.03)


@pytest.mark.parametrize(("rate", "share"), [(1.0, 0.5), (0.75, 0.571), (0.0, 1.0)])
def test_independent_style_predicts_the_changed_one_by_its_share(rate, share):
    data, process = make(style_change_rate=rate, **SMALL)
    found = prepared(data, next(data.evaluate("train", 20_000)))
    for i in range(3):
        seen = np.corrcoef(found["style"][:, i], found["style_changed"][:, i])[0, 1]
        np.testing.assert_allclose(seen**2, share, atol=0.02)
    assert content_style.predictable_style(process) == {"style": 0, "style_changed": 0}


def test_both_modalities_hold_the_same_content_and_only_their_own_rest(everything):
    found, process = everything
    for name, style, own, f in (
        ("x1", "style", "modality1", process.mixings[0]),
        ("x2", "style_changed", "modality2", process.mixings[1]),
    ):
        z = mixing.unmix(f, found[name])
        parts = (found["content"], found[style], found[own])
        np.testing.assert_allclose(z, np.concatenate(parts, axis=1), atol=2e-3)


def test_causal_style_is_predictable_as_the_closed_form_says():
    data, process = make(seed=3, causal=True, style_change_rate=0.75, **SMALL)
    found = prepared(data, next(data.evaluate("test", 20_000)))
    batch = content_style.permute_content(next(data.evaluate("test", 20_000)))
    permuted = prepared(data, batch)
    for name, expected in content_style.predictable_style(process).items():
        for source, share in ((found, expected), (permuted, 0.0)):
            x = np.c_[source["content"], np.ones(20_000)]
            y = source[name]
            residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
            r2 = np.mean(1 - residual.var(axis=0) / y.var(axis=0))
            np.testing.assert_allclose(r2, share, atol=0.01)


def test_closed_form_by_hand():
    process = content_style.process(**SMALL)._replace(
        effect=np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), change_rate=0.5
    )
    found = content_style.predictable_style(process)  # explained: 1, 2, 0
    np.testing.assert_allclose(found["style"], (1 / 2 + 2 / 3) / 3)
    np.testing.assert_allclose(found["style_changed"], (1 / 2.5 + 2 / 3.5) / 3)


def test_permuted_content_changes_nothing_else(full_compilation):
    data, _ = make(causal=True, **SMALL)
    batch = next(data.evaluate("test", 64))
    found = prepared(data, batch)
    permuted = prepared(data, content_style.permute_content(batch, seed=1))
    for name in ("style", "style_changed", "modality1", "modality2", "where"):
        np.testing.assert_array_equal(permuted[name], found[name])
    order = np.random.default_rng(1).permutation(64)
    np.testing.assert_array_equal(permuted["content"], found["content"][order])
    assert np.all(np.any(permuted["x1"] != found["x1"], axis=1) | (order == range(64)))


def test_covariance_seeds():
    split = content_style.process(statistical=True).covariances
    shared = content_style.process(statistical=True, covariance_seeds="shared")
    first = shared.covariances["content"]
    assert all(np.array_equal(c, first) for c in shared.covariances.values())
    for i, a in enumerate(BLOCKS):
        np.testing.assert_array_equal(content_style.process().covariances[a], np.eye(5))
        for b in BLOCKS[:i]:
            assert np.any(split[a] != split[b])


def test_wishart_mean_is_degrees_of_freedom():
    drawn = [content_style.wishart(np.random.default_rng(s), 3) for s in range(2_000)]
    mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / np.sqrt(2_000)
    assert np.all(np.abs(mean - 3 * np.eye(3)) < 4 * error)
    assert all(np.linalg.eigvalsh(matrix)[0] > 0 for matrix in drawn)


def test_spectrum():
    process = content_style.process(**SMALL)
    uneven = dict(process.covariances) | {
        "style": np.diag([1.0, 2.0, 4.0]),
        "change": np.diag([1.0, 1.0, 1.0]),
    }
    found = content_style.spectrum(process._replace(covariances=uneven))
    np.testing.assert_allclose(found["condition/style"], 4.0)
    np.testing.assert_allclose(found["condition/content"], 1.0)
    np.testing.assert_allclose(found["change_to_style"], 0.25)


def test_multiview_setting_has_one_mixing_and_no_private_factors():
    data, process = make(
        content_dim=2, style_dim=2, modality_dims=(0, 0), shared_mixing=True
    )
    assert process.mixings[0] is process.mixings[1]
    found = prepared(data, next(data.train(8)))
    assert set(found) == {"x1", "x2", "content", "style", "style_changed", "label"}
    assert found["x1"].shape == found["x2"].shape == (8, 4)
    assert content_style.spectrum(process).keys() == {
        "condition/content",
        "condition/style",
        "condition/change",
        "change_to_style",
    }


def test_entries_shapes_and_labels(everything):
    found, _ = everything
    dims = dict(zip(FACTORS, (2, 3, 3, 1, 2))) | {"x1": 6, "x2": 7}
    for name, dim in dims.items():
        assert found[name].shape == (20_000, dim) and found[name].dtype == np.float32
    signs = found["content"] > 0
    np.testing.assert_array_equal(found["label"], 2 * signs[:, 0] + signs[:, 1])
    assert found["label"].dtype == np.int32


def test_rows_depend_on_seed_and_step_alone_and_splits_are_apart():
    data, _ = make(num_rows=50, **SMALL)
    stream = data.train(8)
    batches = [next(stream) for _ in range(4)]
    resumed = next(data.train(8, start_step=3))
    for name in resumed:
        np.testing.assert_array_equal(resumed[name], batches[3][name])
    contents = [prepared(data, batch)["content"] for batch in batches]
    other, _ = make(num_rows=50, seed=1, **SMALL)
    contents.append(prepared(other, batches[0])["content"])
    for split in STREAMS:
        passes = list(data.evaluate(split, 8))
        assert sum(batch["where"].sum() for batch in passes) == 50
        contents.append(prepared(data, passes[0])["content"])
    every = np.concatenate(contents)
    assert len(np.unique(every, axis=0)) == len(every) == 56


def test_processes_share_out_the_rows(monkeypatch):
    data, _ = make(num_rows=50, **SMALL)
    whole = next(data.train(8))["id"]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    parts = []
    for index in range(2):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        parts.append(next(data.train(8))["id"])
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (dict(style_change_rate=1.5), r"style_change_rate in \[0, 1\]; got 1.5"),
        (dict(covariance_seeds="same"), "'split', 'shared'"),
        (dict(content_dim=0), "content_dim >= 1; got 0"),
        (dict(modality_dims=(1, 2), shared_mixing=True), "equal modality_dims"),
        (dict(seed=-1), "seed >= 0"),
    ],
)
def test_impossible_processes_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        content_style.process(**keywords)


def test_impossible_datasets_are_refused():
    with pytest.raises(ValueError, match="num_test >= 1; got 0"):
        content_style.load(num_test=0)
    data, _ = make(num_rows=10, **SMALL)
    with pytest.raises(ValueError, match="'train', 'test'"):
        data.evaluate("valid", 4)
    with pytest.raises(ValueError, match="batch_size >= 1"):
        data.train(0)
