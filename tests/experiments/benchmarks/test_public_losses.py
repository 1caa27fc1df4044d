"""Losses beside those of other packages: what is handed over, compared, and refused."""

import json
import pathlib
import subprocess

import numpy as np
import pytest

from experiments.benchmarks import public_losses as benchmark
from experiments.benchmarks import public_losses_calls as calls
from experiments.benchmarks import public_losses_cases as cases
from experiments.results import store
from tests.peers import python_with

FEW = slice(0, None, 12)


def test_a_case_shows_the_call_and_the_class():
    listed = cases.cases()
    names = [(case.ours, str(case.peer), case.hand) for case in listed]
    assert len(set(names)) == len(names) > 40
    options = dict(temperature=0.07, num_classes=3)
    assert calls.shown(calls.lightly("A", **options)) == "A(temperature=0.07)"
    assert all(
        case.ours.startswith(tuple("abcdefghijklmnopqrstuvwxyz")) for case in listed
    )


def test_what_is_handed_over_is_all_that_the_peer_reads(tmp_path):
    listed = cases.cases()
    given = benchmark.hand_over(listed, cases.SIZES[:1], tmp_path)
    jobs = json.loads((tmp_path / "jobs.json").read_text())
    stored = np.load(tmp_path / "arrays.npz")
    assert len(jobs) == len(given) == len(listed)
    assert {name.split("/")[0] for name in stored} == {job["key"] for job in jobs}
    sized = [j for j in jobs if "embedding_size" in j["peer"]["options"]]
    assert {job["peer"]["options"]["embedding_size"] for job in sized} == {4}


def test_differences_are_relative_and_of_every_input():
    here = {"value": 2.0, "grad/a": np.array([4.0]), "grad/b": np.zeros(2)}
    assert benchmark.differences(here, here) == (0, 0)
    there = here | {"value": 1.0, "grad/b": np.array([0, 1e-7])}
    assert benchmark.differences(here, there) == (0.5, pytest.approx(1e-7 / 4e-6))


def test_the_table_of_a_peer_that_is_we_has_one_row_that_differs(tmp_path, monkeypatch):
    """The stub returns our own figures, all but one."""
    listed = cases.cases()[FEW]

    def stub(python, program, folder):
        found = {}
        for key, (place, arrays) in enumerate(benchmark.hand_over(*asked, tmp_path)):
            results = benchmark.ours(listed[place], arrays)
            results["value"] = results["value"] + (key == 1)
            found |= {f"{key}/{name}": x for name, x in results.items()}
        np.savez(folder / "peer.npz", **found)
        (folder / "peer.json").write_text(json.dumps({"torch": "0"}))

    asked = listed, cases.SIZES[:1]
    monkeypatch.setattr(benchmark, "cases", lambda: listed)
    monkeypatch.setattr(benchmark.processes, "run", stub)
    assert benchmark.main([f"--workdir={tmp_path}", "--peer=x", "--smoke"]) == 0
    result = store.read(tmp_path / "public_losses.json")
    assert "--peer" not in result.command and "torch 0" in result.content[0]
    verdicts = [row[6] for row in result.content[1].rows]
    assert verdicts == ["equal", "differs"] + ["equal"] * (len(listed) - 2)


def test_a_peer_without_the_packages_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.main([f"--workdir={tmp_path}", "--peer=/nowhere/python", "--smoke"])
    assert "/nowhere/python" in capsys.readouterr().err


@pytest.fixture
def peer():
    packages = ("torch", "lightly", "open_clip", "pytorch_metric_learning")
    return python_with("REPR_JAX_LOSSES_PEER", *packages)


def test_the_page_lists_what_the_packages_have(peer):
    code = """
from lightly import loss
from lightly.loss import regularizer
from open_clip.loss import ClipLoss
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
own = (loss, regularizer, distances, losses, miners, reducers, regularizers)
found = {name for module in own for name in dir(module) if name[0].isupper()}
print(*(n for n in found if not n.startswith("Base") and not n.endswith("Mixin")))
"""
    done = subprocess.run([peer, "-c", code], capture_output=True, text=True)
    page = pathlib.Path(__file__).parents[3] / "configs/evaluation/beside_others.md"
    words = set(page.read_text().replace(",", " ").split())
    assert set(done.stdout.split()) - words == {"GenericPairLoss"}


def test_every_loss_is_equal_to_the_peers_or_says_why_not(peer, tmp_path):
    assert benchmark.main([f"--peer={peer}", f"--workdir={tmp_path}", "--smoke"]) == 0
    table = store.read(tmp_path / "public_losses.json").content[1]
    assert all(row[6] == "equal" or row[7] for row in table.rows)
