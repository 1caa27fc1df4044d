"""The report: its files, its tables, and what the pictures are made of."""

import csv
import io
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import figures, pictures, report
from repr_jax.data import synthetic
from repr_jax.evaluators.common import Trained, subsets

HISTORY = [
    {"step": 100 * n, "loss": 9.0 - n, "kl/m0": 1.0, "kl/m1": 2.0, "grad_norm": 3.0}
    for n in range(1, 5)
]
PICTURES = {"reconstructions.png", "unconditional.png", "latents.png", "losses.png"}


def copying(dataset, workdir):
    """Generates what the first given view shows, and grey from nothing."""
    names = dataset.modalities

    def generate(key, batch):
        given = jnp.any(batch["present"], axis=1) & batch["where"]
        first = jnp.argmax(batch["present"], axis=1)
        views = jnp.stack([batch[name] for name in names])
        chosen = views[first, jnp.arange(len(first))]
        images = jnp.where(given[:, None, None, None], chosen, 0.5)
        return dict.fromkeys(names, images)

    return Trained(
        represent=jax.jit(
            lambda batch: batch[names[0]].reshape(len(batch["label"]), -1)
        ),
        generate=jax.jit(generate),
        bound=None,
        prepare=dataset.prepare,
        modalities=names,
        workdir=str(workdir),
    )


def scores(names):
    """A made-up value for all that the evaluators report of these modalities."""
    metrics = {"bound/joint": -1234.5, "step": 400, "coherence/joint": 0.125}
    for n in range(len(names)):
        size = "1_view" if n == 0 else f"{n + 1}_views"
        metrics[f"linear_probe/{size}"] = 0.9
        metrics[f"linear_probe_500/{size}"] = 0.8
        metrics[f"self_coherence/{size}"] = 0.7
        if n + 1 < len(names):
            metrics[f"coherence/{size}"] = 0.6
    for row, (name, subset) in enumerate(subsets(names).items()):
        metrics[f"linear_probe/{name}"] = 0.5
        for m, target in enumerate(names):
            prefix = "self_coherence" if subset[m] else "coherence"
            metrics[f"{prefix}/{name}->{target}"] = (10 * row + m) / 100
    return metrics


@pytest.mark.parametrize("names", [("m0",), ("m0", "m1", "m2")])
def test_every_file_is_there_and_linked(names, tmp_path, capsys):
    dataset = synthetic.multiview(modalities=names, num_examples=12, size=8)
    metrics = scores(names)
    index = report.write(
        copying(dataset, tmp_path),
        dataset,
        metrics,
        HISTORY,
        tmp_path,
        title="A & B",
        batch_size=8,
    )
    folder = tmp_path / "report"
    expected = PICTURES | {"metrics.json", "coherence.csv", "index.html"}
    expected |= {"conditional.png"} if len(names) > 1 else set()
    assert {path.name for path in folder.iterdir()} == expected
    page = (folder / "index.html").read_text()
    assert str(index) == str(folder / "index.html")
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert linked == expected - {"index.html"}
    assert "A &amp; B" in page and "http" not in page
    for name in expected:
        if name.endswith(".png"):
            assert (folder / name).read_bytes()[1:4] == b"PNG"
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    printed = capsys.readouterr().out
    assert "By number of views" in printed and "-1,234.5" in printed


def test_coherence_csv_has_a_row_for_each_subset_and_a_column_for_each_target(tmp_path):
    names = ("m0", "m1", "m2")
    text = report.coherence_csv(scores(names), names)
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["given", *names] and len(rows) == 8
    for row, (name, cells) in enumerate(zip(subsets(names), rows[1:])):
        assert cells[0] == name
        expected = [(10 * row + m) / 100 for m in range(3)]
        assert [float(cell) for cell in cells[1:]] == expected
    assert report.coherence_csv({"step": 1}, names) == ""


def test_a_model_that_generates_nothing(tmp_path):
    dataset = synthetic.multiview(modalities=("m0",), num_examples=12, size=8)
    model = copying(dataset, tmp_path)._replace(generate=None)
    report.write(model, dataset, {"step": 1}, [], tmp_path, batch_size=8)
    found = {path.name for path in (tmp_path / "report").iterdir()}
    assert found == {"latents.png", "metrics.json", "index.html"}


def test_a_model_with_one_input(tmp_path, capsys):
    """No modalities: the image is rebuilt, and nothing given means `where` False."""
    dataset = synthetic.blobs(num_examples=12)
    asked = []

    def generate(key, batch):
        asked.append(batch["where"].copy())
        return {"image": batch["image"]}

    model = Trained(
        represent=lambda batch: batch["image"].reshape(len(batch["image"]), -1),
        generate=generate,
        bound=None,
        prepare=dataset.prepare,
        modalities=(),
        workdir=str(tmp_path),
    )
    metrics = {"accuracy": 0.5, "bound/joint": -3.25}
    report.write(model, dataset, metrics, HISTORY, tmp_path, batch_size=12)
    found = {path.name for path in (tmp_path / "report").iterdir()}
    assert found == PICTURES | {"metrics.json", "index.html"}
    assert [rows.any() for rows in asked] == [True, False]
    assert "accuracy" in capsys.readouterr().out


def test_terminal_table_is_aligned():
    names = ("m0", "m1", "m2")
    first, *_, last = report.tabulate(scores(names), names)
    lines = report.as_text(first).splitlines()[2:]
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split("  ")[0] == "given"
    assert lines[-2].split() == ["3", "views", "0.900", "0.800", "–", "0.700"]
    assert dict(last.rows)["coherence/joint"] == 0.125
    assert "step" in dict(last.rows) and "linear_probe/m0" not in dict(last.rows)


def test_columns_that_nobody_measured_are_left_out():
    (table,) = report.tabulate({"linear_probe/1_view": 0.5}, ("m0", "m1"))
    assert table.header == ("given", "linear probe")
    assert table.rows == [("1 view", 0.5), ("2 views", None)]
    assert report.tabulate({}, ("m0",)) == []


def test_examples_are_of_every_class_and_present():
    labels = np.array([3, 3, 3, 1, 1, 0, 2, 0])
    where = np.array([True] * 6 + [False, True])
    rows = pictures.examples(labels, where, 4)
    np.testing.assert_array_equal(labels[rows], [0, 1, 3, 3])
    np.testing.assert_array_equal(pictures.examples(labels, where, 3), [5, 3, 0])
    assert len(pictures.examples(labels, where, 100)) == 7


def test_mosaic_shows_the_pixels():
    from matplotlib.image import imread

    blue = np.zeros((2, 28, 28, 3))
    blue[..., 2] = 2.0  # clipped to 1
    grey = np.full((1, 14, 14, 1), 0.5)
    picture = figures.mosaic(
        [[figures.Row("blue", blue, True)], [figures.Row("", grey)]]
    )
    pixels = imread(io.BytesIO(picture), format="png")[..., :3]
    side, gap = figures.CELL, figures.GAP
    height = 2 * (side + gap) + figures.BREAK + 2 * gap
    assert pixels.shape[:2] == (height, figures.COLUMN + 2 * (side + gap) + gap)
    first = pixels[gap : gap + side, figures.COLUMN : figures.COLUMN + side]
    np.testing.assert_array_equal(first, np.broadcast_to([0, 0, 1], first.shape))
    top = gap + side + gap + figures.BREAK
    second = pixels[top : top + side, figures.COLUMN : figures.COLUMN + side]
    np.testing.assert_allclose(second, 0.5, atol=1 / 255)


def test_principal_axes():
    """Three independent directions: the two widest are found, in order."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) * [0.1, 5.0, 2.0] + 7.0
    points, share = figures.principal(x)
    centred = x - x.mean(axis=0)
    for axis, column in enumerate([1, 2]):
        correlation = np.corrcoef(points[:, axis], centred[:, column])[0, 1]
        assert correlation > 0.999
    variances = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    np.testing.assert_allclose(share, variances[:2] / variances.sum(), rtol=1e-6)
    points, share = figures.principal(x[:, :1])
    assert points.shape == (500, 2) and share[1] == 0
    np.testing.assert_array_equal(figures.principal(np.ones((4, 3)))[0], 0)


def test_curves_of_odd_histories():
    assert figures.curves([]) is None
    assert figures.curves([{"step": 3}]) is None
    one = figures.curves([{"step": 1, "loss": 2.0}])
    broken = figures.curves(
        [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan"), "kl": 1.0}]
    )
    assert one[1:4] == broken[1:4] == b"PNG"


def test_matplotlib_is_left_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    figures.scatter(np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3)
    after = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    assert before == after


def test_retrieval_shows_the_question_first_and_frames_the_right_answer(tmp_path):
    from matplotlib.image import imread

    dataset = synthetic.multiview(num_examples=12, size=28)
    model = copying(dataset, tmp_path)
    rows = {}  # by the bytes of m0, so that every modality finds its own row
    for batch in dataset.evaluate("test", 12):
        rows = {x.tobytes(): i for i, x in enumerate(batch["m0"])}

    def represent(batch):
        return np.eye(12)[[rows[np.asarray(x).tobytes()] for x in batch["m0"]]]

    model = model._replace(represent=represent, generate=None)
    drawn = pictures.draw(model, dataset, 12)
    assert set(drawn) == {"retrieval", "latents"}
    pixels = imread(io.BytesIO(drawn["retrieval"]), format="png")
    top, left = figures.GAP, figures.COLUMN
    step = figures.CELL + figures.GAP

    def colour(column):  # of the frame above an image of the first line
        return tuple(np.round(255 * pixels[top - 1, left + column * step + 9, :3]))

    def rgb(name):
        return tuple(int(name[i : i + 2], 16) for i in (1, 3, 5))

    assert colour(0) == rgb(figures.GIVEN)
    assert colour(1) == rgb(figures.RIGHT)  # it finds itself first
    assert colour(2) == (255, 255, 255)


def test_retrieval_shows_bytes_as_it_shows_floats(tmp_path):
    floats = synthetic.multiview(num_examples=12, size=28)
    names = floats.modalities

    def as_bytes(batch):
        images = {n: np.round(255 * batch[n]).astype(np.uint8) for n in names}
        return {**batch, **images}

    def as_floats(batch):
        return {**batch, **{n: batch[n].astype(np.float32) / 255 for n in names}}

    stored = floats._replace(
        evaluate=lambda *args: map(as_bytes, floats.evaluate(*args)), prepare=as_floats
    )
    rounded = floats._replace(
        evaluate=lambda *args: map(as_floats, stored.evaluate(*args))
    )
    drawn = []
    for dataset in (stored, rounded):
        model = copying(dataset, tmp_path)._replace(
            represent=lambda batch: np.eye(12)[np.arange(len(batch["label"])) % 12],
            prepare=dataset.prepare,
        )
        drawn.append(pictures.draw_retrieval(model, dataset, 12)["retrieval"])
    assert drawn[0] == drawn[1]


def test_long_labels_are_shortened():
    assert figures.shortened("cat") == "cat"
    assert figures.shortened("woman in motorized wheelchair") == "woman in motorized…"
