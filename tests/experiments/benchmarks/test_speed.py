"""The smoke form of each subject of speed, the protocol of peers, ratios by hand."""

import math
import shutil
import sys
import textwrap

import numpy as np
import pytest

from experiments.benchmarks.speed import __main__ as speed
from experiments.benchmarks.speed import start, turns
from experiments.benchmarks.speed.turns import Measured, Problem
from experiments.results import store
from experiments.results.tables import Table
from tests.lanes import slow_unless

TABLES = {  # of a subject's file, without a peer
    "losses": 1,
    "networks": 1,
    "small_models": 1,
    "evaluation": 1,
    "data": 3,
    "start": 3,
    "checkpoints": 1,
}
PEER = """
    import numpy as np

    def losses(batch):
        def call():
            a, b = np.random.default_rng(0).normal(size=(2, batch, 8)).astype("f4")
            a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
            logits = a @ b.T / 0.1
            print("what a package prints is no answer")
            return np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))
        return call

    def problems(smoke):
        return {"info_nce, 16 x 8": {"numpy": lambda: losses(16)}}
"""


def run(folder, *options):
    """The exit code of the command in its smoke form, with one turn."""
    return speed.main([f"--workdir={folder}", "--smoke", "--turns=1", *options])


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """peer(text of losses_peers.py) -> options that make this Python the peer."""
    folder = tmp_path / "peers"
    folder.mkdir()

    def make(text):
        for name in ("__main__.py", "packages.py", "timing.py"):
            shutil.copy(turns.SERVER.with_name(name), folder)
        (folder / "losses_peers.py").write_text(textwrap.dedent(text))
        monkeypatch.setattr(turns, "SERVER", folder / "__main__.py")
        return ("--only=losses", f"--peer={sys.executable}")

    return make


def test_every_subject_has_a_smoke_form():
    assert set(TABLES) == set(speed.SUBJECTS)


@pytest.mark.parametrize(
    "name", slow_unless(("losses", "small_models", "checkpoints"), TABLES)
)
def test_the_smoke_form_of_a_subject_writes_its_file(name, tmp_path):
    assert run(tmp_path, "--peer=none", f"--only={name}") == 0
    content = store.read(tmp_path / f"speed_{name}.json").content
    tables = [block for block in content if isinstance(block, Table)]
    assert len(tables) == TABLES[name]
    numbers = [x for table in tables for row in table.rows for x in row]
    numbers = [x for x in numbers if isinstance(x, float | int)]
    assert numbers and all(math.isfinite(x) and x >= 0 for x in numbers)
    assert (tmp_path / f"speed_{name}.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"speed_{name}.json",
        f"speed_{name}.md",
    ]


def test_every_import_is_timed_in_a_process_of_its_own():
    code = start.IMPORT.format("math")
    assert 0 < float(start.child(code)) < 60
    assert start.importing()() is None


def test_a_run_that_does_no_step_is_an_error(tmp_path):
    config = tmp_path / "none.py"
    with pytest.raises(ValueError, match="has done no step: error"):
        start.first_step(str(config), tmp_path / "run", tmp_path / "cache")


def test_a_peer_is_measured_in_its_own_process(peer, tmp_path):
    assert run(tmp_path, *peer(PEER)) == 0
    text, table = store.read(tmp_path / "speed_losses.json").content
    assert f"numpy {np.__version__}" in text
    rows = {row[0]: row for row in table.rows}
    named = dict(zip(turns.COLUMNS, rows["info_nce, 16 x 8"]))
    assert named["peer"] == "numpy" and named["difference"] < 1e-5
    assert named["from"] == named["ratio"] == named["to"] > 0  # of one turn
    assert rows["clip, 16 x 8"][2] == ""


def test_a_peer_that_dies_is_one_line(peer, tmp_path, capfd):
    options = peer(PEER.replace("return call", "raise SystemExit(7)"))
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, *options)
    assert ended.value.code == 2
    found = capfd.readouterr().err
    assert found == ("error: peer: ('prepare', 'info_nce, 16 x 8'): it ended with 7.\n")
    assert not (tmp_path / "speed_losses.json").exists()


def test_what_is_there_is_left_alone(tmp_path, capsys):
    (tmp_path / "speed_losses.json").touch()
    assert run(tmp_path, "--peer=none", "--only=losses") == 0
    assert "is there" in capsys.readouterr().out


def test_an_unknown_subject_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, "--peer=none", "--only=speed")
    assert "got speed" in capsys.readouterr().err


def test_a_line_by_hand():
    problem = Problem("sum", make=None, examples=6)
    found = {
        "ours": Measured([1.0, 2.0, 4.0], [2.0, -4.0]),
        "limit": Measured([0.5, 0.5, 0.5], []),
        "theirs": Measured([3.0, 2.0, 8.0], [2.0, -3.0]),
    }
    (line,) = turns.lines(problem, found)
    expected = ["sum", 2e3, "theirs", 3e3, 2.0, 1.0, 3.0, 500.0, 4.0, 0.25]
    assert line == pytest.approx(expected)
    assert turns.lines(problem._replace(same=False), found)[0][-1] is None
    rates = [["sum", "ours", 3.0], ["sum", "limit", 12.0], ["sum", "theirs", 2.0]]
    assert turns.rates(problem, found) == rates
    assert turns.rates(problem._replace(examples=0), found) == []


def test_without_an_interpreter_or_a_file_there_are_no_peers():
    for python, subject in ((None, "losses"), (sys.executable, "checkpoints")):
        peer = turns.Peer(python, subject, smoke=True)
        assert (peer.process, peer.problems, peer.versions) == (None, [], {})
        peer.close()
