"""Trains on nodes of a SLURM cluster: one process a GPU, which jax finds by itself.

  python -m experiments.launch.slurm --nodes=2 --gpus=4 --time=12:00:00 --dry-run -- \\
      --config=configs/contrastive/simclr_cifar10.py --workdir=/shared/simclr

Hands a job script to `sbatch`; --dry-run prints it. Two minutes before its time is up,
and when it is preempted, the run saves and stops, and the job queues again and goes on
from there, as it does after the death of a process. The workdir is on a disk that all
nodes share, as is this checkout.

Usage: https://slurm.schedmd.com/sbatch.html. On a cluster where preemption does not
signal, only the last checkpoint is left to go on from.

Exit codes: 0 submitted; 2 the input was wrong; else sbatch's.
"""

import shlex
import sys

from experiments.arguments import at_least
from experiments.launch import commands

SCRIPT = """\
#!/bin/bash
{options}
cd {folder}
srun --kill-on-bad-exit=0 {command}
code=$?
# 143: stopped by SIGTERM. 137: a process was killed, which ends the others with 134;
# srun returns the highest. Either way the same command continues.
if [[ $code == 143 || $code == 137 || $code == 134 ]] &&
  (( ${{SLURM_RESTART_COUNT:-0}} < {restarts} ))
then scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
"""


def script(asked) -> str:
    """The job script.

    Raises:
      ValueError: the arguments are not those of a run.
    """
    options = {
        "job-name": asked.name,
        "nodes": asked.nodes,
        "ntasks-per-node": asked.gpus,
        "gpus-per-node": asked.gpus,
        "cpus-per-task": asked.cpus,
        "time": asked.time,
        "partition": asked.partition,
        "account": asked.account,
        "output": f"{asked.name}-%j.log",
        "open-mode": "append",
        "signal": "TERM@120",  # to the processes, so many seconds before the end
    }
    lines = [f"--{name}={value}" for name, value in options.items() if value]
    command = commands.of_main(asked.arguments, distributed="auto", python=asked.python)
    return SCRIPT.format(
        options="\n".join(f"#SBATCH {line}" for line in [*lines, "--requeue"]),
        folder=shlex.quote(str(commands.REPOSITORY)),
        command=shlex.join(command),
        restarts=asked.restarts,
    )


def main(arguments=None) -> int:
    """Submits the job script, or prints it."""
    parser = commands.parser("experiments.launch.slurm", __doc__)
    add, count = parser.add_argument, dict(type=at_least(1), metavar="N")
    add("--nodes", default=1, **count, help="1 unless given")
    add("--gpus", required=True, **count, help="of a node, one process each")
    add("--cpus", default=8, **count, help="of a process, 8")
    add("--time", required=True, help="limit, such as 12:00:00")
    add("--name", default="repr_jax", help="of the job")
    add("--partition", default="")
    add("--account", default="")
    add("--restarts", type=at_least(0), default=10, metavar="N", help="at most, 10")
    add("--python", default=sys.executable, help="the interpreter, on all nodes")
    asked = parser.parse_args(arguments)
    try:
        text = script(asked)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.dry_run:
        print(text, end="")
        return 0
    return commands.do([["sbatch"]], dry_run=False, given=text)


if __name__ == "__main__":
    sys.exit(main())
