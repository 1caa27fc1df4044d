"""Trains on a Cloud TPU slice: makes it, installs this checkout on all its hosts, runs.

  python -m experiments.launch.tpu --name=pod --zone=europe-west4-b \\
      --type=v5litepod-32 --version=v2-alpha-tpuv5-lite --dry-run -- \\
      --config=configs/contrastive/simclr_cifar10.py --workdir=gs://BUCKET/simclr

The same command runs on every host (`--worker=all`) and jax finds the others. The
workdir is a gs:// path, since the hosts share no disk. After a preemption, or with
--steps=run at any time, the same command continues. With --detach the run outlives this
terminal, and its output is in ~/repr_jax/run.log of each host.

Usage of gcloud: https://docs.cloud.google.com/tpu/docs/jax-pods and
https://docs.cloud.google.com/sdk/gcloud/reference/compute/tpus. That API gets fixes
only and does not know TPU7x and later: see `experiments.launch.gke` for those.

Exit codes: 0 done; 2 the input was wrong; else that of the gcloud command that failed.
"""

import os
import shlex
import sys
import tempfile

from experiments.launch import commands

STEPS = ("create", "install", "run", "delete")
FOLDER = "repr_jax"  # in the home folder of each host
INSTALL = (  # the hosts' own Python may be too old
    f"cd {FOLDER} && python3 -m pip install --user --quiet uv && "
    "python3 -m uv venv --python 3.12 --allow-existing .venv && "
    "python3 -m uv pip install --python .venv/bin/python --editable "
    "'.[train,tpu,gcs]'"
)
WAIT = (
    "while state=$({ask}); do echo $state; case $state in ACTIVE) exit 0;; "
    "FAILED|SUSPEND*) exit 1;; esac; sleep 60; done; exit 1"
)


def gcloud(*words: str, asked) -> list[str]:
    """A gcloud command of TPUs in the zone and project that were asked for."""
    place = [f"--zone={asked.zone}"]
    place += [f"--project={asked.project}"] if asked.project else []
    return ["gcloud", "compute", "tpus", *words, *place]


def everywhere(command: str, asked) -> list[str]:
    """The command that runs a line of shell on all hosts of the slice."""
    ssh = gcloud("tpu-vm", "ssh", asked.name, asked=asked)
    return [*ssh, "--worker=all", f"--command={command}"]


def create(asked) -> list[list[str]]:
    """The slice: at once, or from the queue, with the wait for it."""
    spot = ["--spot"] if asked.spot else []
    kind = f"--accelerator-type={asked.type}"
    if asked.queued:
        start = gcloud("queued-resources", "create", asked.name, asked=asked)
        more = [f"--node-id={asked.name}", f"--runtime-version={asked.version}"]
        ask = gcloud("queued-resources", "describe", asked.name, asked=asked)
        wait = WAIT.format(ask=shlex.join([*ask, "--format=value(state.state)"]))
        return [[*start, kind, *more, *spot], ["bash", "-c", wait]]
    start = gcloud("tpu-vm", "create", asked.name, asked=asked)
    return [[*start, kind, f"--version={asked.version}", *spot]]


def install(asked) -> list[list[str]]:
    """Copies the files of this checkout's commit to all hosts, and installs them."""
    name = f"{FOLDER}.tar.gz"
    archive = os.path.join(tempfile.gettempdir(), name)
    unpack = f"mkdir -p {FOLDER} && tar -xzf {name} -C {FOLDER}"
    copy = gcloud("tpu-vm", "scp", archive, f"{asked.name}:", asked=asked)
    pack = ["git", "-C", str(commands.REPOSITORY), "archive", "--format=tar.gz"]
    return [
        [*pack, f"--output={archive}", "HEAD"],
        [*copy, "--worker=all"],
        everywhere(f"{unpack} && {INSTALL}", asked),
    ]


def run(asked) -> list[list[str]]:
    """The training, on all hosts."""
    command = shlex.join(
        commands.of_main(asked.arguments, distributed="auto", python=".venv/bin/python")
    )
    if asked.detach:
        command = f"nohup {command} >> run.log 2>&1 < /dev/null &"
    return [everywhere(f"cd {FOLDER} && {command}", asked)]


def delete(asked) -> list[list[str]]:
    """Gives the slice back; what it wrote to gs:// stays."""
    if asked.queued:
        start = gcloud("queued-resources", "delete", asked.name, asked=asked)
        return [[*start, "--force", "--quiet"]]
    return [[*gcloud("tpu-vm", "delete", asked.name, asked=asked), "--quiet"]]


def main(arguments=None) -> int:
    """Does the steps in order, or prints their commands."""
    parser = commands.parser("experiments.launch.tpu", __doc__)
    add = parser.add_argument
    add("--name", required=True, help="of the slice")
    add("--zone", required=True)
    add("--project", default="", help="gcloud's own unless given")
    add("--type", default="", help="such as v5litepod-32, v5p-32 or v6e-16")
    add("--version", default="", help="of its software, such as v2-alpha-tpuv6e")
    add("--spot", action="store_true", help="cheaper, and may be taken away")
    add("--queued", action="store_true", help="ask for it as a queued resource")
    add("--detach", action="store_true", help="do not wait for the training")
    add(
        "--steps",
        default="create,install,run",
        help="some of create, install, run, delete, with commas",
    )
    asked = parser.parse_args(arguments)
    steps = asked.steps.split(",")
    try:
        for step in steps:
            if step not in STEPS:
                known = ", ".join(STEPS)
                raise ValueError(f"--steps: expected some of {known}; got {step!r}.")
        if "create" in steps and not (asked.type and asked.version):
            raise ValueError("expected --type and --version of the slice to create.")
        if "run" in steps and not any("=gs://" in text for text in asked.arguments):
            raise ValueError("expected a --workdir=gs://...: hosts share no disk.")
        make = dict(create=create, install=install, run=run, delete=delete)
        listed = [command for step in steps for command in make[step](asked)]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return commands.do(listed, dry_run=asked.dry_run)


if __name__ == "__main__":
    sys.exit(main())
