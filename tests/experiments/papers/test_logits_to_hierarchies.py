"""The command from end to end on few rows, what it keeps, and what it refuses."""

import functools
import json
import re

import numpy as np
import pytest

from experiments.papers import hierarchy_data, hierarchy_methods, hierarchy_scores
from experiments.papers import logits_to_hierarchies as command
from experiments.results import render
from repr_jax.estimators import logistic


@pytest.mark.slow
def test_digits_from_an_encoder_to_a_table(tmp_path, capsys):
    arguments = [f"--workdir={tmp_path}", "--only=mnist", "--seeds=1", "--smoke"]
    assert command.main(arguments) == 0
    results = tmp_path / "logits_to_hierarchies_mnist.md"
    text = results.read_text()
    assert text in capsys.readouterr().out
    for method in hierarchy_methods.CLUSTERS:
        assert f"| {method} |" in text
    assert render.main([str(results.with_suffix(".json"))], tmp_path / "claimed") == 0
    picture = tmp_path / "claimed" / "pictures" / "logits_to_hierarchies_mnist.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    pages = {path.name for path in (tmp_path / "mnist" / "pages").iterdir()}
    assert "L2H_TURTLE" in pages and "Ward" not in pages
    page = (tmp_path / "mnist" / "pages" / "L2H_k-means" / "index.html").read_text()
    assert "L2H k-means" in page

    kept = sorted((tmp_path / "mnist" / "trees").iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    assert command.main(arguments) == 0  # grows nothing again
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert results.read_text() == text


@pytest.mark.slow
def test_emoji_and_their_taxonomy(tmp_path, emoji_file, monkeypatch):
    few = ("L2H, k-means", "Ward")  # digits go through all methods
    clusters = {name: hierarchy_methods.CLUSTERS[name] for name in few}
    monkeypatch.setattr(hierarchy_methods, "CLUSTERS", clusters)
    arguments = [f"--workdir={tmp_path}", f"--data_dir={emoji_file}", "--smoke"]
    assert command.main([*arguments, "--only=emoji,taxonomy", "--seeds=1"]) == 0
    table = (tmp_path / "logits_to_hierarchies_emoji.md").read_text()
    assert "coarse dendrogram purity" in table
    rows = (tmp_path / "taxonomy" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 8 * len(hierarchy_methods.CLASSES)
    tree = tmp_path / "taxonomy" / "pages" / "L2H_linear_classifier" / "tree.json"
    assert {"a", "f"} <= {n.get("name") for n in json.loads(tree.read_text())["nodes"]}


@pytest.mark.parametrize("code", [0, 2])
def test_imagenet_is_left_to_its_own_command(code, tmp_path, monkeypatch):
    asked = []
    own = command.imagenet_hierarchy
    monkeypatch.setattr(own, "main", lambda words: asked.append(words) or code)
    arguments = [f"--workdir={tmp_path}", "--only=imagenet", "--images=photographs"]
    assert command.main(arguments) == code
    assert asked == [[f"--workdir={tmp_path / 'imagenet'}", "--images=photographs"]]


def test_labels_lose_their_gaps_and_keep_their_groups():
    labels, coarse = hierarchy_data.numbered(
        np.array([5, 2, 5, 9]), np.array([1, 0, 1, 1])
    )
    np.testing.assert_array_equal(labels, [1, 0, 1, 2])
    np.testing.assert_array_equal(coarse, [0, 1, 1])


def test_a_random_tree_is_a_tree_and_only_the_seed_decides():
    for seed in range(3):
        parents = hierarchy_scores.random_tree(seed, 6)
        tree = hierarchy_scores.Tree(parents, np.arange(6), 0.0)
        assert hierarchy_scores.of_taxonomy(tree, np.arange(6) % 2)["triplets"] <= 1
        np.testing.assert_array_equal(parents, hierarchy_scores.random_tree(seed, 6))
    assert (parents != hierarchy_scores.random_tree(0, 6)).any()


def test_class_means_and_cosines_by_hand():
    x = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    means = hierarchy_methods.class_means(x, np.array([0, 0, 1]))
    np.testing.assert_array_equal(means, [[2, 0], [0, 2]])
    np.testing.assert_allclose(hierarchy_methods.cosines(means), [[1, 0.5], [0.5, 1]])


def test_a_classifier_that_has_not_converged_says_so(monkeypatch, capsys):
    x, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    hierarchy_methods.classifier(x, labels, 2)
    assert not capsys.readouterr().err
    stopped = functools.partial(logistic.fit, max_steps=1)
    monkeypatch.setattr(logistic, "fit", stopped)
    hierarchy_methods.classifier(x, labels, 2)
    assert "had not converged after 1 steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only=mnist,svhn"], "expected some of mnist.*got svhn"),
        (["--only=emoji"], "--data_dir: expected"),
        (["--only=mnist", "--seeds=0"], "--seeds: expected at least 1"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit):
        command.main(["--workdir=unused", *arguments])
    assert re.search(message, capsys.readouterr().err)


def test_a_set_that_is_not_prepared_is_named(tmp_path, capsys):
    arguments = [f"--workdir={tmp_path / 'w'}", f"--data_dir={tmp_path}"]
    assert command.main([*arguments, "--only=cifar100", "--smoke"]) == 3
    assert "log.txt" in capsys.readouterr().err
    log = (tmp_path / "w" / "cifar100" / "encoder" / "log.txt").read_text()
    assert "tfds build cifar100" in log
