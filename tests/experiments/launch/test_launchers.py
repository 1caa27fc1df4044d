"""Launchers: --dry-run prints what they would do; the local one does it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

from experiments.launch import commands, cost, gke, local, slurm, tpu
from repr_jax import sharding

OF_RUN = ["--", "--config=a.py", "--config.dataset.modalities=('a', 'b')"]
LINE = f"-m repr_jax.main --distributed=auto {shlex.join(OF_RUN[1:])}"
TPU = ["--name=pod", "--zone=z", "--dry-run"]
SLICE = ["--type=v5litepod-32", "--version=v2-alpha-tpuv5-lite"]


def printed(capsys, launcher, *flags, workdir="gs://b/c"):
    """The lines that a launcher prints of a run in that workdir."""
    assert launcher.main([*flags, *OF_RUN, f"--workdir={workdir}"]) == 0
    return capsys.readouterr().out.splitlines()


def test_tpu_slices_are_made_installed_and_run(capsys):
    steps = "--steps=create,install,run,delete"
    make, pack, copy, install, run, delete = map(
        shlex.split, printed(capsys, tpu, *TPU, *SLICE, "--spot", steps)
    )
    vm = ["gcloud", "compute", "tpus", "tpu-vm"]
    kind = ["--accelerator-type=v5litepod-32", "--version=v2-alpha-tpuv5-lite"]
    assert make == [*vm, "create", "pod", "--zone=z", *kind, "--spot"]
    assert pack[:2] == ["git", "-C"] and f"--output={copy[5]}" in pack
    assert copy[4] == "scp" and copy[6:] == ["pod:", "--zone=z", "--worker=all"]
    ssh = [*vm, "ssh", "pod", "--zone=z", "--worker=all"]
    assert install[:-1] == run[:-1] == ssh
    assert install[-1].endswith("--editable '.[train,tpu,gcs]'")
    assert run[-1] == (
        f"--command=cd repr_jax && .venv/bin/python {LINE} --workdir=gs://b/c"
    )
    assert delete == [*vm, "delete", "pod", "--zone=z", "--quiet"]


def test_tpu_slices_of_the_queue_are_waited_for(capsys):
    make, wait, run = printed(
        capsys, tpu, *TPU, *SLICE, "--queued", "--detach", "--steps=create,run"
    )
    make = shlex.split(make)
    assert make[3:6] == ["queued-resources", "create", "pod"]
    assert {"--node-id=pod", "--runtime-version=v2-alpha-tpuv5-lite"} <= set(make)
    script = shlex.split(wait)[2]
    assert "queued-resources describe pod" in script
    assert subprocess.run(["bash", "-n", "-c", script]).returncode == 0
    assert "nohup .venv/bin/python" in run and "run.log 2>&1 < /dev/null &" in run


@pytest.mark.parametrize(
    ("state", "code"), [("ACTIVE", 0), ("FAILED", 1), ("SUSPENDING", 1)]
)
def test_the_wait_ends_with_the_state(state, code):
    script = tpu.WAIT.format(ask=f"echo {state}")
    assert subprocess.run(["bash", "-c", script], timeout=20).returncode == code


@pytest.mark.parametrize(
    ("launcher", "flags", "message"),
    [
        (tpu, [*TPU], "--type and --version"),
        (tpu, [*TPU, "--steps=run,rest"], "some of create, .*; got 'rest'"),
        (tpu, [*TPU, "--steps=run"], "--workdir=gs://"),
        (
            gke,
            ["--name=a", "--image=i", "--chip=v5e", "--topology=4by8"],
            "one such as 4x8; got '4by8'",
        ),
        (
            gke,
            ["--name=a", "--image=i", "--chip=v5e", "--topology=1x2"],
            "the 4 chips of a host; got 1x2, which has 2",
        ),
    ],
)
def test_errors_are_one_line(capsys, launcher, flags, message):
    assert launcher.main([*flags, *OF_RUN, "--workdir=/local"]) == 2
    text = capsys.readouterr().err
    assert re.search(message, text), text
    assert text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize("rest", [[], ["--config=a.py"], ["--workdir"]])
def test_what_follows_the_dashes_is_a_run(capsys, rest):
    wrong = [*rest, "--distributed=env"] if rest == ["--workdir"] else rest
    assert local.main(["--dry-run", "--", *wrong]) == 2
    assert capsys.readouterr().err.startswith("error: launch: expected ")


def test_a_jobset_has_a_pod_a_host(capsys):
    flags = ["--name=a", "--image=i", "--chip=v5p", "--topology=2x2x4", "--dry-run"]
    made = json.loads("\n".join(printed(capsys, gke, *flags, "--spot")))
    (slice_,) = made["spec"]["replicatedJobs"]
    job = slice_["template"]["spec"]
    assert job["parallelism"] == job["completions"] == 4  # 16 chips, 4 a host
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert shlex.join(container["command"]) == f"python {LINE} --workdir=gs://b/c"
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
        "cloud.google.com/gke-tpu-topology": "2x2x4",
        "cloud.google.com/gke-spot": "true",
    }


FAKE_SRUN = '#!/bin/bash\necho "srun $@"\nexit {}\n'


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [
        (143, 0, True),
        (134, 3, True),
        (137, 9, True),
        (143, 10, False),
        (137, 10, False),
        (2, 0, False),
        (0, 0, False),
    ],
)
def test_a_slurm_job_goes_on_after_what_time_mends(
    capsys, tmp_path, code, restarts, requeued
):
    flags = ["--nodes=2", "--gpus=4", "--time=1:00:00", "--dry-run", "--python=py"]
    text = "\n".join(printed(capsys, slurm, *flags, workdir="/shared/a"))
    for option in ("nodes=2", "ntasks-per-node=4", "gpus-per-node=4", "requeue"):
        assert f"#SBATCH --{option}\n" in text
    for name, content in (
        ("srun", FAKE_SRUN.format(code)),
        ("scontrol", '#!/bin/bash\necho "scontrol $@"\n'),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", text],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "7",
            "SLURM_RESTART_COUNT": str(restarts),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert f"py {' '.join(shlex.split(LINE))} --workdir=/shared/a\n" in done.stdout
    assert ("scontrol requeue 7\n" in done.stdout) == requeued


def test_local_commands_are_what_the_environment_mode_reads(capsys, monkeypatch):
    lines = printed(capsys, local, "--processes=3", "--devices=2", "--dry-run")
    places = set()
    for index, line in enumerate(lines):
        words = shlex.split(line)
        python = words.index(sys.executable)
        for name, _, value in (word.partition("=") for word in words[:python]):
            monkeypatch.setenv(name, value)
        address, count, own = sharding._from_environment()
        assert (count, own) == (3, index)
        assert os.environ["JAX_NUM_CPU_DEVICES"] == "2"
        assert words[python + 1 : python + 4] == [
            "-m",
            "repr_jax.main",
            "--distributed=env",
        ]
        places.add(address)
    assert len(places) == 1


WAITS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("of", os.environ["JAX_NUM_PROCESSES"], flush=True)
time.sleep(600)
"""


def test_local_output_is_numbered_and_a_signal_reaches_all(capfd):
    def ask():
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    with local.together([subprocess.PIPE] * 2, "-c", WAITS) as processes:
        for process in processes:  # both are ready for the signal
            assert process.stdout.readline() == "of 2\n"
        thread = threading.Thread(target=ask)
        thread.start()
        assert local.follow(processes) == 143
        thread.join()
    with local.together([subprocess.PIPE] * 2, "-c", "print('hello')") as processes:
        assert local.follow(processes) == 0
    out = sorted(capfd.readouterr().out.splitlines())
    assert out == ["[0] hello", "[1] hello"]


def test_the_first_failure_is_the_exit_code():
    code = "import os; os.kill(os.getpid(), 6 if os.environ['JAX_PROCESS_ID'] else 9)"
    with local.together([subprocess.PIPE], "-c", code) as processes:
        assert local.follow(processes) == 134


def test_the_commands_of_the_page_are_understood(capsys):
    page = (commands.REPOSITORY / "experiments/launch/README.md").read_text()
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL))
    found = {}
    for line in filter(str.strip, lines.replace("\\\n", " ").splitlines()):
        words = shlex.split(line)
        assert words[:2] == ["python", "-m"]
        found[words[2].rpartition(".")[2]] = words[3:]
    cost.parse(found.pop("cost"))
    for name, module in dict(local=local, tpu=tpu, gke=gke, slurm=slurm).items():
        assert module.main(["--dry-run", *found.pop(name)]) == 0
        assert "repr_jax.main" in capsys.readouterr().out
    assert not found


def test_a_command_that_is_not_installed_is_named(capsys):
    assert commands.do([["no-such-command", "a"]], dry_run=False) == 2
    assert capsys.readouterr().err == "error: found no no-such-command here.\n"
    assert commands.do([["false"], ["echo"]], dry_run=False) == 1
