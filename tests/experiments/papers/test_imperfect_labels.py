"""Labels that are wrong, few or rare: how they are made, measured, kept and shown."""

import argparse
import csv
import json

import jax
import numpy as np
import pytest

from experiments.papers import imperfect_labels as paper
from experiments.papers import label_few, label_noise, label_rare
from experiments.papers import label_training as training
from experiments.papers.checks import toys
from experiments.results import store, tables
from tests.peers import python_with


def asked(folder, *flags):
    """What the command line gives."""
    parser = paper.grid.parser(
        paper.NAME, "", paper.PARTS, data_dir="of MNIST", scales=("cpu", "smoke")
    )
    parser.add_argument("--peer", default="")
    return paper.grid.parsed(parser, paper.PARTS, [f"--workdir={folder}", *flags])


# What is made of right labels


@pytest.mark.parametrize(("kind", "share"), label_noise.SETTINGS.values())
def test_the_share_of_wrong_labels_is_that_of_the_setting(kind, share):
    y = np.arange(1_000) % 10
    given, wrong = label_noise.corrupted(y, kind, share, 0)
    assert np.array_equal(given != y, wrong) and given.min() >= 0 and given.max() <= 9
    for digit in range(10):
        others = np.unique(given[wrong & (y == digit)])
        if kind == "symmetric":
            assert len(others) > 3
        else:
            named = {o for d, o in label_noise.ASYMMETRIC.items() if d == digit}
            assert set(others) == named
    moved = np.isin(y, list(label_noise.ASYMMETRIC)) | (kind == "symmetric")
    assert wrong[moved].mean() == pytest.approx(share)
    again, _ = label_noise.corrupted(y, kind, share, 0)
    other, _ = label_noise.corrupted(y, kind, share, 1)
    assert np.array_equal(given, again) and not np.array_equal(given, other)


def test_so_many_of_each_class_are_labeled():
    y = np.arange(400) % 10
    for count in label_few.SETTINGS.values():
        known = label_few.labeled(y, count, 0)
        assert np.bincount(y[known], minlength=10).tolist() == [count] * 10


def test_classes_get_rarer_by_equal_ratios_in_an_order_of_the_seed():
    y = np.arange(10_000) % 10
    kept, classes = label_rare.long_tailed(y, 100, 0)
    counts = np.bincount(y[kept], minlength=10)[classes]
    assert counts[0] == 1_000 and counts[-1] == 10
    np.testing.assert_allclose(counts[1:] / counts[:-1], 100 ** (-1 / 9), atol=0.05)
    assert not np.array_equal(classes, label_rare.long_tailed(y, 100, 1)[1])


# Training


def test_only_rows_that_are_kept_are_drawn():
    x = np.repeat(np.arange(60, dtype=np.float32)[:, None], 196, axis=1)
    y, kept = np.arange(60) % 10, np.arange(60) % 3 == 0
    kept[:10] = True
    rows = training.rows_of(x, y, kept)
    assert rows.counts.sum() == kept.sum()
    for draw in (training.draw, training.draw_balanced):
        for seed in range(5):
            some, labels = draw(jax.random.key(seed), rows)
            places = np.asarray(some)[:, 0].astype(int)
            assert kept[places].all() and np.array_equal(labels, y[places])


def test_balanced_draws_are_of_all_classes_alike():
    y = np.repeat(np.arange(10), np.arange(1, 20, 2))
    rows = training.rows_of(np.zeros((len(y), 196), np.float32), y)
    counts = sum(
        np.bincount(training.draw_balanced(jax.random.key(s), rows)[1], minlength=10)
        for s in range(20)
    )
    np.testing.assert_allclose(counts / counts.sum(), 0.1, atol=0.03)


def test_a_network_learns_and_a_class_of_weight_0_does_not_count():
    data = training.load("", 500, 200)
    rows = training.rows_of(data.x, data.y)
    params = training.train(0, rows, training.CROSS_ENTROPY, num_steps=150)
    told = training.predictions(training.CROSS_ENTROPY, params, data.test_x)
    assert np.mean(told == data.test_y) > 0.7
    values = label_rare.each(
        lambda x, y: training.losses.cross_entropy(x, y),
        toys.apply(params, data.x),
        jax.numpy.asarray(data.y),
    )
    mean = training.losses.cross_entropy(toys.apply(params, data.x), data.y)
    ones = label_rare.weighted(values, np.ones(10), data.y)
    np.testing.assert_allclose(ones, mean, rtol=1e-5)
    one_class = label_rare.weighted(values, np.eye(10)[3], data.y)
    np.testing.assert_allclose(one_class, values[data.y == 3].mean(), rtol=1e-5)


# Scores


def test_detection_counts_what_is_flagged_and_ranked():
    wrong = np.array([True, True, False, False, False])
    flagged = np.array([True, False, True, False, False])
    found = label_noise.detection(np.array([5, 3, 4, 1, 0]), flagged, wrong)
    assert found["precision"] == found["recall"] == 0.5
    assert found["AUROC"] == pytest.approx(5 / 6)
    assert found["AP"] == pytest.approx((1 + 2 / 3) / 2)
    nothing = label_noise.detection(None, np.zeros(5, bool), wrong)
    assert np.isnan(nothing["precision"]) and nothing["recall"] == 0
    assert set(label_noise.detection(wrong, None, wrong)) == {"AUROC", "AP"}


def test_detectors_find_errors_that_are_planted():
    """A network that has not memorized them, and pixels as features without labels."""
    data = training.load("", 600, 10)
    given, wrong = label_noise.corrupted(data.y, "symmetric", 0.2, 0)
    rows = training.rows_of(data.x, given)
    params = training.train(0, rows, training.CROSS_ENTROPY, num_steps=60)
    out = label_noise.out_of_fold(0, data.x, given, 60)
    found = label_noise.detectors(data.x, given, params, params, out, data.x)
    del found["separation"]  # which sees no label: these are wrong everywhere alike
    for name, (scores, flags) in found.items():
        numbers = label_noise.detection(scores, flags, wrong)
        assert numbers["AUROC"] > 0.8, name
        if flags is not None:
            assert numbers["precision"] > 2 * wrong.mean(), name
            assert numbers["recall"] > 2 * flags.mean(), name  # as many at random


def test_groups_of_rare_classes_are_scored_apart():
    classes = np.arange(10)[::-1]
    y = np.repeat(np.arange(10), 4)
    data = training.Data(np.zeros((1, 196)), y[:1], np.zeros((40, 196)), y)
    told = np.where(y < 3, 9, y)  # the three rarest are never right
    found = label_rare.scores(told, data, classes)
    assert found == {"balanced": 0.7, "head": 1.0, "middle": 1.0, "tail": 0.0}


# The command


@pytest.fixture
def measures(monkeypatch):
    """The settings, with numbers that tell part, setting, method and seed apart."""
    calls = []

    def of(part, names):
        settings = list(paper.PARTS[part].settings)

        def measure(setting, seed, data, *, data_dir, num_steps, folder):
            calls.append((part, setting, seed))
            assert len(data.x) == 400 and len(data.test_x) == 100 and num_steps == 2
            place = 0.1 * settings.index(setting) + 0.02 * seed
            found = {name: place + 0.001 * i for i, name in enumerate(names)}
            return found | ({"memorized": 0.5} if part == "noise" else {})

        return paper.PARTS[part]._replace(measure=measure)

    noise = [f"accuracy/{name}" for name in label_noise.METHODS]
    noise += [f"{n}/confident learning" for n in label_noise.DETECTIONS]
    noise += ["AUROC/loss at the end", "AP/loss at the end"]
    few = [f"accuracy/{name}" for name in label_few.METHODS]
    rare = [f"{c}/{n}" for n in label_rare.METHODS for c in label_rare.COLUMNS]
    parts = {"noise": of("noise", noise), "few": of("few", few)}
    monkeypatch.setattr(paper, "PARTS", parts | {"rare": of("rare", rare)})
    return calls


def test_results_are_written_and_what_is_there_is_not_made_again(measures, tmp_path):
    flags = [f"--workdir={tmp_path}", "--scale=smoke"]
    assert paper.main([*flags, "--seeds=1"]) == 0
    assert len(measures) == 10
    assert paper.main([*flags, "--seeds=2"]) == 0
    assert len(measures) == len(set(measures)) == 20
    assert {seed for *_, seed in measures[10:]} == {1}
    result = store.read(tmp_path / "imperfect_labels.json")
    assert result.seeds == [0, 1] and "--scale=smoke" in result.command
    found = {x.title: x for x in result.content if isinstance(x, tables.Table)}
    table = found["few: labels of each class"]
    assert [row[0] for row in table.rows] == list(label_few.METHODS)
    assert table.rows[0][1].mean == pytest.approx(0.01)
    assert table.rows[0][2].mean == pytest.approx(0.11)
    assert table.rows[-1][1].best and not table.rows[0][1].best
    shown = tables.shown(found["wrong labels found, symmetric 20 %"])
    assert shown[1][1] == tables.MISSING  # a score has no flags
    pictures = {x.file for x in result.content if isinstance(x, store.Picture)}
    for name in ("noise", "found", "few", "rare"):
        path = f"pictures/imperfect_labels_{name}.png"
        assert path in pictures
        assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "imperfect_labels.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["part"] for line in lines} == set(paper.PARTS)


def test_cleanlab_is_asked_about_wrong_labels_alone(measures, tmp_path, monkeypatch):
    seen = []

    def of_peer(rows, found, where):
        seen.extend(row.part for row in rows)
        return tables.Table(("ours",), [("equal",)], title="Beside cleanlab")

    monkeypatch.setattr(paper, "of_peer", of_peer)
    flags = [f"--workdir={tmp_path}", "--scale=smoke", "--seeds=1", "--peer=PYTHON"]
    assert paper.main(flags) == 0
    assert seen == ["noise"] * len(label_noise.SETTINGS)
    result = store.read(tmp_path / "imperfect_labels.json")
    assert "--peer=PYTHON" in result.command
    assert "Beside cleanlab" in [getattr(x, "title", "") for x in result.content]


def test_numbers_of_another_scale_are_refused(measures, tmp_path, capsys):
    flags = [f"--workdir={tmp_path}", "--seeds=1", "--only=few"]
    assert paper.main([*flags, "--scale=smoke"]) == 0
    with pytest.raises(SystemExit) as found:
        paper.main([*flags, "--scale=cpu"])
    assert found.value.code == 2
    assert "written at another --scale" in capsys.readouterr().err
    path = next(tmp_path.rglob(paper.FILE))
    path.write_text(json.dumps({"numbers": 1}))
    with pytest.raises(SystemExit) as found:
        paper.main([*flags, "--scale=smoke"])
    assert found.value.code == 2
    assert f"expected the numbers of a run; got {path}" in capsys.readouterr().err


def test_all_of_mnist_is_more_rows_and_steps():
    sizes = {
        part: paper.sizes(part, argparse.Namespace(scale="cpu", data_dir=folder))
        for part in paper.PARTS
        for folder in ("", "DIR")
        if not (part == "few" and folder)
    }
    assert sizes == {
        "noise": (None, 30_000),
        "few": (2_000, 1_500),
        "rare": (None, 6_000),
    }


@pytest.mark.slow
@pytest.mark.parametrize("part", paper.PARTS)
def test_the_smoke_form_of_a_part_runs(part, tmp_path, monkeypatch):
    """One setting of it, every method."""
    one = dict(list(paper.PARTS[part].settings.items())[-1:])
    parts = paper.PARTS | {part: paper.PARTS[part]._replace(settings=one)}
    monkeypatch.setattr(paper, "PARTS", parts)
    flags = [f"--workdir={tmp_path}", "--scale=smoke", "--seeds=1", f"--only={part}"]
    assert paper.main(flags) == 0
    (run,) = paper.rows_of(part, asked(tmp_path, "--seeds=1"))[0].runs
    numbers = paper.read(tmp_path / run.name / paper.FILE)["numbers"]
    assert all(0 <= x <= 1 or np.isnan(x) for n, x in numbers.items() if n != "seconds")


# cleanlab


def kept(folder):
    """A folder of a run whose labels a peer can be asked about; what it holds."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 10
    wrong = rng.random(600) < 0.2
    given = np.where(wrong, (y + 1) % 10, y)
    logits = rng.normal(size=(600, 10)) + 3 * np.eye(10)[y]
    out = np.float32(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    fitted = paper.confident_learning.fit(out, given)
    suspected = np.asarray(paper.confident_learning.suspected(fitted, out, given))
    folder.mkdir(parents=True)
    found = dict(given=given, wrong=wrong, out=out, suspected=suspected)
    np.savez(folder / label_noise.FILE, **found)
    return found


def test_agreement_counts_rows_that_differ_and_why(tmp_path):
    ours = kept(tmp_path / "run")
    given, out = ours["given"], ours["out"]
    label = out[np.arange(600), given]
    theirs = dict(off_diagonal=ours["suspected"], self_confidence=label.copy())
    theirs["confident_learning"] = ours["suspected"] & (out.argmax(axis=1) != given)
    table = paper.agreement([(ours, theirs)] * 2)
    assert [row[2:] for row in table.rows] == [(1_200, 0, 0)] * 3
    theirs["self_confidence"][:5] += 0.1
    rows = paper.agreement([(ours, theirs)]).rows
    assert rows[2][2:] == (600, 0, 5)
    theirs["off_diagonal"] = ~ours["suspected"]
    total, known, else_ = paper.agreement([(ours, theirs)]).rows[0][2:]
    assert known + else_ == total == 600 and else_ > 500


def test_flags_are_those_of_cleanlab(tmp_path):
    peer = python_with("REPR_JAX_CLEANLAB_PEER", "cleanlab")
    where = asked(tmp_path, "--seeds=1", f"--peer={peer}")
    rows = paper.rows_of("noise", where)[:1]
    kept(tmp_path / rows[0].runs[0].name)
    found = {rows[0].runs[0].name: {}}
    table = paper.of_peer(rows, found, where)
    assert all(row[4] == 0 for row in table.rows)
    assert found[rows[0].runs[0].name]["recall/cleanlab, by noise rate"] > 0.5


def test_a_peer_without_cleanlab_is_refused(tmp_path):
    where = asked(tmp_path, "--seeds=1", "--peer=/nowhere/python")
    with pytest.raises(OSError, match="/nowhere/python"):
        paper.of_peer(paper.rows_of("noise", where), {}, where)
