"""The command line, the files it writes, and its errors."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage

from repr_jax import metrics, trees
from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import __main__ as cli
from repr_jax.estimators.hierarchy import files

ALL = {*files.FILES}


@pytest.fixture
def logits(tmp_path):
    """120 rows of 8 classes in float16, saved with labels, names and images."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 15)
    x = rng.normal(size=(120, 8)) + 3 * np.eye(8)[labels] + (labels // 2)[:, None] % 2
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    np.save(tmp_path / "y.npy", np.array(list("abcdefgh"))[labels])
    np.save(tmp_path / "images.npy", rng.integers(256, size=(120, 4, 4, 3), dtype="u1"))
    names = [f"<i>kind</i> '{c}' at ${c}" for c in range(8)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    return x.astype(np.float16)


def run(tmp_path, *arguments):
    cli.main([str(tmp_path / "x.npy"), *map(str, arguments)])


def test_all_files_are_written(tmp_path, logits, capsys):
    out = tmp_path / "new" / "tree"
    run(
        tmp_path,
        f"--labels={tmp_path / 'y.npy'}",
        f"--names={tmp_path / 'names.txt'}",
        f"--images={tmp_path / 'images.npy'}",
        f"--out={out}",
        "--bootstrap=2",
    )
    assert "120 rows, 8 classes" in capsys.readouterr().out
    assert {x.name for x in out.iterdir()} == ALL
    assert [x.name for x in out.parent.iterdir()] == ["tree"]
    tree = hierarchy.fit(logits)
    linkage = np.load(out / "linkage.npy")
    np.testing.assert_array_equal(linkage, tree.linkage)
    assert is_valid_linkage(linkage)
    assert is_monotonic(linkage)
    names = (tmp_path / "names.txt").read_text().splitlines()
    newick = trees.newick(tree.parents, tree.heights, names)
    assert (out / "tree.nwk").read_text() == newick + "\n"
    content = json.loads((out / "tree.json").read_text())
    assert [node["parent"] for node in content["nodes"][:-1]] == tree.parents[
        :-1
    ].tolist()
    assert content["nodes"][2]["rows"] == tree.counts[2]
    bootstrap = [node.get("bootstrap") for node in content["nodes"]]
    assert bootstrap[:8] == [None] * 8 and set(bootstrap[8:]) <= {0, 0.5, 1}
    assert bootstrap[-1] == 1
    found = json.loads((out / "metrics.json").read_text())
    labels = np.repeat(np.arange(8), 15)
    table = metrics.contingency(tree.assignments, labels)
    assert found["nmi"] == metrics.nmi(table)
    purity = metrics.dendrogram_purity(tree.parents, table)
    assert found["dendrogram_purity"] == purity
    assert all(0 <= value <= 1 for value in found.values())


def test_page_holds_the_tree_and_pictures_and_needs_no_network(tmp_path, logits):
    run(
        tmp_path,
        f"--images={tmp_path / 'images.npy'}",
        "--names",
        tmp_path / "names.txt",
    )
    out = tmp_path / "x_hierarchy"
    assert {x.name for x in out.iterdir()} == ALL - {"metrics.json"}
    page = (out / "index.html").read_text()
    assert "http" not in page
    assert "<i>kind" not in page  # names are text
    (content,) = re.findall(
        r"<script type=application/json id=tree>(.*?)</script>", page
    )
    content = json.loads(content)
    tree = hierarchy.fit(logits)
    assert [node["name"] for node in content["nodes"][:8]] == (
        (tmp_path / "names.txt").read_text().splitlines()
    )
    assert content["nodes"][9]["affinity"] == tree.affinities[1]
    assert {len(found) for found in content["images"]} == {4}
    with open(out / "dendrogram.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_options_reach_the_algorithm(tmp_path, logits):
    out = tmp_path / "out"
    run(
        tmp_path,
        "--aggregation=sum_sum",
        "--temperature=0.5",
        "--threads=1",
        f"--out={out}",
    )
    tree = hierarchy.fit(logits, aggregation="sum_sum", temperature=0.5)
    np.testing.assert_array_equal(np.load(out / "linkage.npy"), tree.linkage)


def test_an_earlier_tree_is_replaced_in_its_own_folder(tmp_path, logits):
    out, link = tmp_path / "out", tmp_path / "link"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    link.symlink_to(out)
    number = out.stat().st_ino
    run(tmp_path, f"--out={link}", f"--labels={tmp_path / 'y.npy'}")
    run(tmp_path, f"--out={link}", "--aggregation=sum_sum")
    assert {x.name for x in out.iterdir()} == ALL - {"metrics.json"} | {"thesis.tex"}
    tree = hierarchy.fit(logits, aggregation="sum_sum")
    np.testing.assert_array_equal(np.load(out / "linkage.npy"), tree.linkage)
    assert link.is_symlink() and out.stat().st_ino == number
    assert (out / "thesis.tex").read_text() == "mine"


def test_the_current_folder_and_the_home_folder(tmp_path, logits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["x.npy", "--out=."])
    assert ALL - {"metrics.json"} <= {x.name for x in tmp_path.iterdir()}
    monkeypatch.setenv("HOME", str(tmp_path))
    cli.main(["~/x.npy", "--out=~/new", "--names=~/names.txt"])
    assert (tmp_path / "new" / "tree.json").exists()
    assert not (tmp_path / "~").exists()


def test_what_cannot_be_written_is_refused_before_the_fit(
    tmp_path, logits, capsys, monkeypatch
):
    monkeypatch.setattr(hierarchy, "fit", lambda *_, **__: pytest.fail("it fitted"))
    page = tmp_path / "mine" / "index.html"
    page.parent.mkdir()
    page.write_text("my own page")
    (tmp_path / "mine" / "tree.json").write_text('{"format": "another"}')
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path))
    (tmp_path / "locked").mkdir()
    for folder, words in [
        ("mine", "expected a folder without tree.json, or that of an earlier tree"),
        ("locked/new/tree", "locked: expected a folder that can be written to"),
        ("x.npy", "x.npy: expected a folder; got a file"),
    ]:
        with pytest.raises(SystemExit) as stop:
            run(tmp_path, f"--out={tmp_path / folder}")
        assert stop.value.code == 2
        assert words in capsys.readouterr().err
    assert page.read_text() == "my own page"
    assert not list((tmp_path / "locked").iterdir())


def test_a_full_disk_leaves_an_earlier_tree_as_it_was(tmp_path, monkeypatch):
    earlier = {"tree.json": b'{"format": "repr_jax.tree"}', "tree.nwk": b"(a,b);"}
    files.write(tmp_path, earlier)
    write_bytes = pathlib.Path.write_bytes

    def full(path, content):
        if "index" in path.name:
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        files.write(tmp_path, {"tree.json": b"new", "index.html": b"new"})
    assert {x.name: x.read_bytes() for x in tmp_path.iterdir()} == earlier


def test_names_of_other_systems(tmp_path, logits):
    names = [f"Größe {c}" for c in range(8)]
    path = tmp_path / "marked.txt"
    path.write_text("\n".join(names), encoding="utf-8-sig")
    assert files.read_names(path) == names
    path = tmp_path / "latin.txt"
    path.write_text("\n".join(names), encoding="latin-1")
    with pytest.raises(ValueError, match=r"UTF-8 text in .*latin.txt; got byte 0xf6"):
        files.read_names(path)


MISTAKES = [  # arguments, of the files of the test, and words of the error
    (["nan.npy"], "finite logits; got nan in row 97, column 5"),
    (["inf.npy"], "finite logits; got inf in row 97, column 5"),
    (["column.npy"], "rows of two classes or more; got shape (120, 1)"),
    (["none.npy"], "rows of two classes or more; got shape (0, 8)"),
    (["wide.npy"], "7 rows of 8 (is the array transposed?)"),
    (["flat.npy"], "rank 2; got logits (8,)"),
    (["whole.npy"], "expected logits of floats; got int"),
    (["empty.npy"], "empty.npy is an empty file"),
    (["text.npy"], "text.npy is something else"),
    (["brain.npy"], "brain.npy has type |V2, as NumPy stores bfloat16"),
    (["objects.npy"], "objects.npy cannot be read: Array can't be memory-mapped"),
    (["object.npz"], "object.npz cannot be read: Object arrays"),
    (["cut.npy"], "mmap length is greater than file size"),
    (["open.npy"], "open.npy cannot be read"),
    (["cut.npz"], "cut.npz cannot be read: File is not a zip file"),
    (
        ["x.npy", "--labels=missing.npy"],
        "missing.npy: expected labels finite; got nan in row 7",
    ),
    (["x.npy", "--labels=objects.npy"], "labels: expected an .npy file of numbers"),
    (["x.npy", "--names=latin.txt"], "names: expected UTF-8 text in"),
    (["x.npy", "--images=deep.npy"], "expected uint8 or floats; got uint16"),
    (["x.npy", "--temperature=inf"], "range of float32; got inf"),
    (["x.npy", "--temperature=nan"], "temperature > 0; got nan"),
    (["absent.npy"], "logits: expected a file; there is no"),
    (["other.npz"], "it has no indices, values, rest, but weights"),
    (["x.npy", "--labels=short.npy"], "expected labels of shape (120,)"),
    (["x.npy", "--names=few.txt"], "expected 8 names, one a class; got 2"),
    (["x.npy", "--images=x.npy"], "expected [120, height, width, 1 or 3]"),
    (["x.npy", "--temperature=0"], "temperature > 0; got 0"),
    (["x.npy", "--threads=0"], "--threads: expected threads >= 1; got 0"),
    (["x.npy", "--bootstrap=-1"], "--bootstrap: expected bootstrap >= 0; got -1"),
    (["top.npz", "--bootstrap=2"], "take no temperature or bootstrap"),
]


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, logits, capsys):
    bad = logits.astype(np.float32)
    bad[97, 5] = np.nan
    arrays = dict(
        nan=bad,
        inf=np.where(np.isnan(bad), np.inf, bad),
        column=logits[:, :1],
        none=logits[:0],
        wide=logits[:7],
        flat=logits[0],
        whole=np.ones((9, 3), int),
    )
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "brain.npy", logits.astype(jnp.bfloat16))
    np.save(tmp_path / "objects.npy", np.array([logits, None], object))
    np.savez(tmp_path / "object.npz", indices=[None], values=[None], rest=[None])
    np.save(tmp_path / "missing.npy", np.where(np.arange(120) == 7, np.nan, 1.0))
    np.save(tmp_path / "deep.npy", np.zeros((120, 4, 4, 3), np.uint16))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-9])
    (tmp_path / "open.npy").write_bytes(whole.replace(b"}", b"("))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n" * 8)
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "short.npy", np.arange(5))
    np.savez(tmp_path / "other.npz", weights=logits)
    np.savez(tmp_path / "top.npz", **hierarchy.sparsify(logits, 3)._asdict())
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    for (*arguments,), words in MISTAKES:
        arguments = [
            re.sub(r"^(--\w+=)?(\w+\.\w+)$", rf"\g<1>{tmp_path}/\g<2>", a)
            for a in arguments
        ]
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        out, error = capsys.readouterr()
        assert stop.value.code == 2, words
        assert words in error
        assert error.count("\n") == 1
        assert not out
    assert not [x for x in tmp_path.iterdir() if x.is_dir()]


def test_sparse_logits_with_everything_kept_give_the_tree(tmp_path, logits, capsys):
    tree = hierarchy.fit(logits)
    found = hierarchy.fit_sparse(hierarchy.sparsify(logits, 8), num_classes=8)
    np.testing.assert_array_equal(found.tree.merges, tree.merges)
    np.testing.assert_allclose(found.tree.linkage, tree.linkage, rtol=1e-6)
    np.testing.assert_array_equal(found.tree.assignments, tree.assignments)
    assert found.unresolved == 0
    np.savez(tmp_path / "top.npz", **hierarchy.sparsify(logits, 8)._asdict())
    cli.main([str(tmp_path / "top.npz")])
    assert "0.00% of re-assignments had no kept logit left" in capsys.readouterr().out
    linkage = np.load(tmp_path / "top_hierarchy" / "linkage.npy")
    np.testing.assert_array_equal(linkage, found.tree.linkage)


def test_sparse_logits_say_what_is_missing(six_rows):
    sparse = hierarchy.sparsify(six_rows, 2)
    expected = [[0, 1], [0, 1], [1, 0], [2, 3], [3, 2], [3, 1]]
    np.testing.assert_array_equal(sparse.indices, expected)
    rest = [0.1, 0.1, 0.1, 0.1, 0.2, 0.1]
    np.testing.assert_allclose(np.exp(sparse.rest), rest, rtol=1e-6)
    found = hierarchy.fit_sparse(sparse, num_classes=4)
    # {0} goes to 1 and {3} to 2 as ever; at the last merge the three rows of {0, 1}
    # have none of their classes left, of 2 + 2 + 3 re-assignments.
    np.testing.assert_array_equal(found.tree.merges, [[0, 1], [3, 2], [4, 5]])
    np.testing.assert_allclose(found.tree.affinities, [1.55, 0.5, 0])
    assert found.unresolved == pytest.approx(3 / 7)


def test_sparse_logits_bound_what_the_mask_cannot_take_out():
    logits = np.random.default_rng(3).normal(size=(500, 30)) * 2
    exact = hierarchy.fit(logits)
    found = hierarchy.fit_sparse(hierarchy.sparsify(logits, 20), num_classes=30)
    agreement = metrics.triplet_agreement(found.tree.parents, exact.parents)
    assert agreement > 0.9
    np.testing.assert_allclose(found.tree.confidences, exact.confidences, rtol=1e-5)


def test_errors_of_sparse_logits():
    good = hierarchy.sparsify(np.random.default_rng(0).normal(size=(6, 5)), 3)

    def changed(**fields):
        copies = {name: np.array(x) for name, x in good._asdict().items()}
        for name, (index, value) in fields.items():
            copies[name][index] = value
        return hierarchy.Sparse(**copies)

    cases = [
        (changed(indices=((2, 0), 5)), r"indices in \[0, 5\); got 5 in row 2"),
        (changed(indices=(3, 1)), "different classes; row 3"),
        (changed(values=((1, 1), np.nan)), "values finite; got nan in row 1"),
        (changed(rest=(4, np.inf)), "no larger than those kept; row 4"),
        (changed(rest=(5, 9.0)), "no larger than those kept; row 5"),
    ]
    for sparse, words in cases:
        with pytest.raises(ValueError, match=words):
            hierarchy.fit_sparse(sparse, num_classes=5)
    assert hierarchy.sparsify(np.zeros((2, 4)), 5).values.shape == (2, 4)


def test_a_killed_run_leaves_no_output(repository, tmp_path):
    logits = np.random.default_rng(0).normal(size=(3000, 100)).astype(np.float32)
    np.save(tmp_path / "x.npy", logits)
    command = [sys.executable, "-m", "repr_jax.estimators.hierarchy", "x.npy"]
    options = dict(cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repository)})
    process = subprocess.Popen([*command, "--bootstrap=9999"], **options)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()
    assert [x.name for x in tmp_path.iterdir()] == ["x.npy"]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    assert "x_hierarchy has dendrogram.png, index.html" in done.stdout
    assert (tmp_path / "x_hierarchy" / "index.html").exists()


def test_the_estimator_needs_jax_and_numpy_alone(repository):
    script = (
        "import sys; from repr_jax import trees; import numpy as np; "
        "from repr_jax.estimators import hierarchy; "
        "trees.cut(hierarchy.fit(np.eye(3)).parents, 2); "
        "print(*{n.partition('.')[0] for n in sys.modules})"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(
        command, cwd=repository, check=True, capture_output=True, text=True
    )
    foreign = {"flax", "optax", "scipy", "sklearn", "matplotlib", "networkx", "absl"}
    assert not set(run.stdout.split()) & foreign
