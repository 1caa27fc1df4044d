"""A run whose workdir is on cloud storage: a stand-in on this machine is asked."""

import json

import pytest

from repr_jax import files
from tests.bucket import bucket
from tests.runs import command, finish, results, together, wait_for

WORKDIR = "gs://bucket/run"


@pytest.fixture
def storage(monkeypatch):
    """What gs:// is, in this process and those that it starts."""
    pytest.importorskip("gcsfs")
    with bucket() as found:
        for name, value in found.variables().items():
            monkeypatch.setenv(name, value)
        yield found


def test_a_file_on_cloud_storage_grows(storage):
    log = files.Growing(f"{WORKDIR}/log", b"a\n")
    for number, content in enumerate((b"b\n", b"c\n"), start=1):
        log.add(content)
        assert storage.objects["run/log"][1] == b"a\nb\nc\n"[: 2 * number + 2]
    log.close()
    assert files.read_text("who", f"{WORKDIR}/log") == "a\nb\nc\n"


@pytest.mark.slow
def test_two_processes_train_into_a_bucket_and_one_goes_on(
    start, tiny, unbroken, storage
):
    """The main process dies once the third checkpoint is whole."""

    def saved(step):
        return f"run/checkpoints/{step}/commit_success.txt" in storage.objects

    with together(start, *command(tiny, WORKDIR, "--distributed=env")) as both:
        wait_for(lambda: saved(12), both[0])
        both[0].kill()
        both[1].wait(120)
    assert "error: process 0 (pid" in both[1].log.read_text()
    before = storage.objects["run/metrics.jsonl"][1].splitlines()
    assert [json.loads(line)["step"] for line in before][:6] == [2, 4, 6, 8, 10, 12]
    with start(*command(tiny, WORKDIR)) as process:
        text = finish(process)
    assert "continuing after step " in text and "Warning" not in text
    lines = storage.objects["run/metrics.jsonl"][1].decode().splitlines()
    found = [files.checked_numbers(line) for line in lines]
    expected, metrics = results(unbroken)
    expected = [files.checked_numbers(line) for line in expected.splitlines()]
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for actual, wanted in zip(found, expected):
        assert actual == pytest.approx(wanted, rel=1e-4), wanted["step"]
    assert files.checked_numbers(
        storage.objects["run/report/metrics.json"][1]
    ) == pytest.approx(metrics, rel=1e-5)
    assert len(storage.objects["run/starts.jsonl"][1].splitlines()) == 2
    kept = {name.split("/")[2] for name in storage.names("run/checkpoints/")}
    assert kept == {"28", "30"}
