"""What commands of experiments read, damaged: a line that says so, never a traceback.

REPR_JAX_FUZZ=300 tries more than the suite has time for.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from experiments import make_emoji
from experiments.benchmarks import contrastive, conv
from experiments.benchmarks import hierarchy as benchmark
from experiments.benchmarks.accelerator import __main__ as accelerator
from experiments.launch import sweep
from experiments.papers import (
    grid,
    hierarchy_data,
    imagenet_images,
    logits_to_hierarchies,
    mmjsd,
    mopoe,
    multimodal3dident,
    multimodal_identifiability,
    multimodal_vae_limits,
    self_supervised,
    shift_robustness,
    text_modalities,
)
from experiments.results import render, tables
from repr_jax import config as configs
from repr_jax import files
from repr_jax.data import arrays, imagenet, wordnet
from repr_jax.estimators.hierarchy import __main__ as hierarchy
from repr_jax.estimators.hierarchy import sparse
from tests.runs import CONFIG

NUM_CASES = int(os.environ.get("REPR_JAX_FUZZ", 50))
VALUES = [None, True, "x", "%", "../x", "/x", "", [], {}, [[]], -1, 0.5, 10**400]
VALUES += [float("nan"), float("inf"), "\0", "é", {"code": "os:abort"}, {"mean": "x"}]
WHOLE = [b"", b"null", b"[]", b"{}", b"7", b'"x"', b"[" * 100_000, b"\xff\xfe{", b"PK"]
WHOLE += [b"\x93NUMPY", b"\xef\xbb\xbf{}", b"\n", "é".encode("latin1"), b"\0" * 99]


def with_a_changed_value(rng, content):
    """Of JSON, at any depth; without it, or with it twice in a list."""
    try:
        top = found = json.loads(content)
        while True:
            key = rng.choice(
                list(found) if isinstance(found, dict) else range(len(found))
            )
            if not isinstance(found[key], dict | list) or not found[key]:
                break
            if rng.random() < 0.3:
                break
            found = found[key]
    except (ValueError, IndexError):
        return content[::-1]
    if rng.random() < 0.2:
        del found[key]
    else:
        found[key] = rng.choice(VALUES)
    return json.dumps(top).encode()


def damage(rng, path):
    """Makes something else of a file; says what."""
    content = path.read_bytes()
    ways = ["value"] * 5 + ["whole"] * 2 + ["cut", "bytes", "longer"]
    way = rng.choice([*ways, "gone", "folder", "link"])
    place = rng.randrange(len(content) + 1)
    if way in ("gone", "folder", "link"):
        path.unlink()
        if way == "folder":
            path.mkdir()
        elif way == "link":
            path.symlink_to(path.parent / "nowhere")
        return way
    changed = {
        "value": lambda: with_a_changed_value(rng, content),
        "whole": lambda: rng.choice(WHOLE),
        "cut": lambda: content[:place],
        "bytes": lambda: content[:place] + rng.randbytes(9) + content[place + 9 :],
        "longer": lambda: content + rng.choice(WHOLE),
    }[way]()
    path.write_bytes(changed)
    return f"{way}: {changed[:300]!r}"


def reading(read):
    """The exit code of a command that says the errors of `read` and ends."""
    try:
        read()
    except (ValueError, OSError) as error:
        print(f"error: {error}")
        return 2
    return 0


def save_runs(runs, folder, metrics):
    """Runs that are finished, as a command finds them."""
    for run in runs:
        report = folder / run.name / "report"
        report.mkdir(parents=True)
        numbers = files.checked_text(metrics | {"step": 2})
        (report / "metrics.json").write_text(numbers)
        text = configs.to_json(configs.load(run.config, run.overrides))
        (folder / run.name / "config.json").write_text(text)
        start = {"revision": "abc", "hardware": "some", "arguments": ["--config=a"]}
        (folder / run.name / "starts.jsonl").write_text(json.dumps(start) + "\n")
    return sorted(path for path in folder.rglob("*.json*") if path.is_file())


# Each makes files in a folder, and returns them with what then reads them.


def of_results(rng, folder):
    path = rng.choice(sorted(render.FOLDER.glob("*.json")))
    taken = pathlib.Path(shutil.copy(path, folder))
    for block in json.loads(path.read_text())["content"]:
        if isinstance(block, dict) and "file" in block:
            (folder / block["file"]).parent.mkdir(exist_ok=True)
            (folder / block["file"]).write_bytes(b"png")
    (folder / "out").mkdir()
    return [taken], lambda: render.main([str(taken)], folder / "out")


def of_sweep(rng, folder):
    config = folder / "tiny.py"
    config.write_text(
        CONFIG.replace("num_steps = 30", "num_steps = 2").replace("4\n", "1\n")
    )
    wanted = sweep.settings(str(config), {"loss.beta": [1.0, 2.0]}, 2)
    runs = [run for setting in wanted for run in setting.runs]
    written = save_runs(runs, folder, {"bound/joint": -1.0})
    flags = [f"--config={config}", f"--workdir={folder}", "--seeds=2", "--jobs=9"]
    return written, lambda: sweep.main([*flags, "--set=loss.beta=1.0,2.0"])


def of_identifiability(rng, folder):
    paper, flags = multimodal_identifiability, ["--scale=smoke", "--seeds=1"]
    runs = [run for row in paper.ablation("smoke", 1) for run in row.runs]
    numbers = dict.fromkeys(paper.COLUMNS.values(), 0.25)
    written = save_runs(runs, folder, numbers)
    flags += ["--only=ablation", f"--workdir={folder}", "--jobs=9"]
    return written, lambda: paper.main(flags)


def of_pictures(rng, folder):
    """The part of identifiability with pictures and sentences."""
    flags = ["--scale=smoke", "--seeds=1", "--only=pictures", f"--workdir={folder}"]
    runs = [run for row in multimodal3dident.rows("smoke", 1) for run in row.runs]
    names = [
        metric.format(modality)
        for modality in multimodal3dident.multimodal3dident.MODALITIES
        for _, metric, _ in multimodal3dident.FACTORS
    ]
    written = save_runs(runs, folder, dict.fromkeys(names, 0.25))
    return written, lambda: multimodal_identifiability.main([*flags, "--jobs=9"])


def of_text(rng, folder):
    """Commands that have parts with text."""
    paper, part = rng.choice(
        [(mmjsd, "digits"), (mopoe, "digits"), (mopoe, "attributes")]
    )
    flags = ["--scale=smoke", "--seeds=1", f"--only={part}", f"--workdir={folder}"]
    asked = grid.parse("", "", paper.PARTS, flags, data_dir="of MNIST")
    numbers = {f"coherence/{n}": 0.5 for n in (*text_modalities.PAIRS, "joint")}
    numbers |= {"coherence/1_view": 0.5, "coherence/2_views": 0.6}
    numbers |= {"linear_probe/1_view": 0.9, "attributes/image->text": 0.25}
    rows = paper.PARTS[part].rows(asked)
    written = save_runs([run for row in rows for run in row.runs], folder, numbers)
    return written, lambda: paper.main([*flags, "--jobs=9"])


def of_benchmarks(rng, folder):
    """What is measured is not; the results of an earlier time are in the way."""
    name, command = rng.choice([("conv", conv), ("contrastive", contrastive)])
    out = folder / "results" / f"{name}.json"
    out.parent.mkdir()
    out.write_text("{}")
    flags = [name, f"--out={out}"]
    flags += ["--large=0"] if name == "contrastive" else ["--steps=1"]

    def call():
        with mock.patch("sys.argv", flags):
            return command.main()

    return [out], call


def of_limits(rng, folder):
    flags = ["--scale=smoke", "--seeds=1", "--only=polymnist", f"--workdir={folder}"]
    paper = multimodal_vae_limits
    asked = paper.multimodal_vaes.grid.parse(
        "", "", paper.PARTS, flags, data_dir="of MNIST"
    )
    rows = paper.PARTS["polymnist"].rows(asked)
    numbers = {f"coherence/{n}_views": 0.5 for n in range(2, 5)}
    numbers |= {"coherence/1_view": 0.5, "linear_probe/1_view": 0.9}
    written = save_runs([run for row in rows for run in row.runs], folder, numbers)
    return written, lambda: paper.main([*flags, "--jobs=9"])


def of_shift(rng, folder):
    paper, data = shift_robustness, rng.choice(["sprites", "dominoes"])
    flags = ["--scale=smoke", "--seeds=1", f"--only={data}", f"--workdir={folder}"]
    asked = grid.parse("", "", paper.CORRELATIONS, flags, data_dir="of MNIST")
    runs = [run for row in paper.rows_of(data, asked) for run in row.runs]
    written = save_runs(runs, folder, dict.fromkeys(paper.COLUMNS.values(), 0.5))
    return written, lambda: paper.main([*flags, "--jobs=9"])


def of_self_supervised(rng, folder):
    paper, part = self_supervised, rng.choice(["digits", "emoji"])
    flags = ["--scale=smoke", "--seeds=1", f"--only={part}", f"--workdir={folder}"]
    asked = grid.parse("", "", paper.PARTS, flags, data_dir="of MNIST")
    runs = [run for row in paper.rows_of(part, asked) for run in row.runs]
    numbers = {paper.column(metric, asked): 0.5 for metric in paper.COLUMNS.values()}
    for run in runs:
        (folder / run.name).mkdir(parents=True)
        lines = [files.checked_text({"step": n, **numbers}) for n in (1, 2)]
        (folder / run.name / "metrics.jsonl").write_text("".join(lines))
        (folder / run.name / "log.txt").write_text("step 2 of 2, 12.5 steps/s\n")
    written = save_runs(runs, folder, numbers)
    written += sorted(folder.rglob("log.txt"))

    def call():
        with mock.patch.object(paper, "of_pixels", lambda part, asked: numbers):
            return paper.main([*flags, "--jobs=9"])

    return written, call


def of_accelerator(rng, folder):
    """What parts of the benchmark have written, gathered."""
    about = dict(revision="abc", date="2020-01-01", hardware="some", versions={})
    about |= dict(finished=True, smoke=True, problems=["it: failed"])
    rates = [{"": "float32, 9 x 9", "TFLOP/s": 2.0}, {"": "copy", "GB/s": 100.0}]
    times = {"": "32 x 16", "ms": 0.5, "TFLOP": 0.1, "GB": 1, "arithmetic": "float32"}
    for name, figures in {"ceilings": rates, "nt_xent": [times]}.items():
        content = json.dumps({**about, "figures": figures})
        (folder / f"{name}.json").write_text(content)

    def call():
        with mock.patch("sys.argv", ["accelerator", f"--out={folder}", "--gather"]):
            return accelerator.main()

    return sorted(folder.glob("*.json")), call


def of_emoji(rng, folder):
    """Two packages of one emoji."""
    place = dict(sheet_x=0, sheet_y=0, has_img_google=True, has_img_twitter=True)
    key = dict(name="KEY", category="a", subcategory="b", sort_order=1, **place)
    for artist in ("google", "twitter"):
        package = folder / artist / "package"
        sheets = package / "img" / artist / "sheets"
        sheets.mkdir(parents=True)
        Image.new("RGB", (34, 34)).save(sheets / "32.png")
        (package / "emoji.json").write_text(json.dumps([key]))
    flags = [f"--{artist}={folder / artist}" for artist in ("google", "twitter")]

    def call():
        out = f"--out={folder / 'emoji.npz'}"
        with mock.patch("sys.argv", ["make_emoji", *flags, out]):
            return make_emoji.main()

    read = [*folder.rglob("32.png"), folder / "google" / "package" / "emoji.json"]
    return sorted(read), call


def of_hierarchy(rng, folder):
    made = np.random.default_rng(0)
    np.save(folder / "logits.npy", made.normal(size=(12, 4)).astype("f"))
    kept = sparse.sparsify(np.load(folder / "logits.npy"), 2)
    np.savez(folder / "logits.npz", **kept._asdict())
    np.save(folder / "labels.npy", np.arange(12) % 3)
    np.save(folder / "images.npy", np.zeros((12, 4, 4, 3), np.uint8))
    (folder / "names.txt").write_text("a\nb\nc\nd\n")
    chosen = [folder / f"logits.{rng.choice(['npy', 'npz'])}"]
    arguments = [str(chosen[0]), f"--out={folder / 'tree'}"]
    for name, ends in dict(labels="npy", names="txt").items():
        chosen.append(folder / f"{name}.{ends}")
        arguments.append(f"--{name}={chosen[-1]}")
    return chosen, lambda: hierarchy.main(arguments)


def of_kept_arrays(rng, folder):
    """What commands of papers store between their starts."""
    tree, features = folder / "tree.npz", folder / "features.npz"
    hierarchy_data.write_arrays(
        tree, dict(parents=np.array([2, 2, -1]), assignments=np.arange(2), seconds=1.0)
    )
    rows = hierarchy_data.Rows(
        np.ones((2, 3)), np.ones((2, 4, 4, 1)), np.arange(2), None
    )
    hierarchy_data._pack(features, hierarchy_data.Data(rows, rows, ("a", "b")))
    np.save(folder / "logits.npy", np.zeros((1, imagenet.NUM_CLASSES), "f"))
    (folder / "files.txt").write_text("a.png\n")
    np.save(folder / "file.npy", np.zeros((64, 3), np.float16))
    reads = {
        tree: lambda: logits_to_hierarchies.grown(tree, broken),
        features: lambda: hierarchy_data._unpacked(features),
        folder / "logits.npy": lambda: imagenet_images.logits(["a.png"], folder),
        folder / "file.npy": lambda: benchmark.opened(str(folder / "file.npy"), 64, 3),
    }
    path = rng.choice(list(reads))
    return [path], lambda: reading(reads[path])


def broken():
    raise OSError("expected to find the tree, not to grow it")


def of_data(rng, folder):
    noun, table = folder / "data.noun", folder / "data.npz"
    noun.write_text(
        "00000010 03 n 01 entity 0 001 ~ 00000020 n 0000 | all\n"
        "00000020 03 n 01 animal 0 001 @ 00000010 n 0000 | it breathes\n"
    )
    np.savez(table, image=np.zeros((8, 4, 4, 1), "f"), label=np.arange(8))
    reads = {
        noun: lambda: wordnet.read(noun),
        table: lambda: arrays.load(data=str(table), label="label"),
    }
    path = rng.choice(list(reads))
    return [path], lambda: reading(reads[path])


KINDS = [of_results, of_results, of_sweep, of_hierarchy, of_kept_arrays, of_data]
KINDS += [of_results, of_sweep, of_kept_arrays, of_identifiability, of_limits]
KINDS += [of_pictures, of_text, of_benchmarks, of_shift, of_self_supervised]
KINDS += [of_accelerator, of_emoji]


@pytest.fixture
def nothing_runs(monkeypatch):
    """What is not finished fails at once, in place of a training."""
    failed = lambda *_, alone: subprocess.Popen(["false"])  # noqa: E731
    monkeypatch.setattr(sweep, "start", failed)
    monkeypatch.setattr(sweep.time, "sleep", lambda seconds: None)
    one = tables.Table(("program", "seconds"), [("ours", 0.5)], ("", ".3f"))
    monkeypatch.setattr(contrastive, "compare", lambda args: one)
    monkeypatch.setattr(conv, "Program", mock.MagicMock())
    monkeypatch.setattr(conv, "table", lambda programs: one)
    never = lambda *_: (_ for _ in ()).throw(OSError("no weights"))  # noqa: E731
    monkeypatch.setattr(imagenet_images.efficientnet, "load", never)
    monkeypatch.setattr(benchmark, "write_logits", never)


def outcome(call, capsys):
    """(exit code or None, what was printed or raised)."""
    try:
        code = call()
    except SystemExit as exit:
        code = exit.code
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    said = capsys.readouterr()
    return code or 0, said.out + said.err


def test_no_file_makes_a_traceback(nothing_runs, tmp_path, capsys):
    seed, problems, codes = random.randrange(2**32), [], []
    for number in range(NUM_CASES):
        rng = random.Random(f"{seed} {number}")
        make, folder = KINDS[number % len(KINDS)], tmp_path / str(number)
        folder.mkdir()
        files, call = make(rng, folder)
        path = rng.choice(files)
        done = damage(rng, path)
        code, text = outcome(call, capsys)
        named = path.name in text or str(path.parent) in text  # a run by its folder
        named |= done in ("gone", "link") or code != 2
        if code not in (0, 2, 3) or not named:
            problems.append(f"{seed} {number} {make.__name__} {path} {done}: {text}")
        codes.append((make.__name__, code))
        shutil.rmtree(folder)
    counts = {pair: codes.count(pair) for pair in sorted(set(codes), key=str)}
    print(NUM_CASES, "cases; exit codes:", counts)
    assert not problems, f"{len(problems)} problems\n" + "\n\n".join(problems)


@pytest.mark.parametrize("make", dict.fromkeys(KINDS))
def test_whole_files_are_read(nothing_runs, tmp_path, capsys, make):
    _, call = make(random.Random(0), tmp_path)
    code, text = outcome(call, capsys)
    assert code == 0, text
