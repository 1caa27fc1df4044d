"""Commands that are forked from one process, which has imported what they need.

Each is a process of its own, as a person starts it, in a tenth of the time: JAX starts
no thread before it is used.
"""

import contextlib
import json
import os
import subprocess
import sys

SERVER = """
import gc, json, os, resource, runpy, sys, warnings
warnings.simplefilter("ignore")
import jax, optax, flax.linen, orbax.checkpoint, ml_collections.config_flags
import matplotlib.figure, tensorboardX
import repr_jax.run, repr_jax.evaluators.bound, configs.base, experiments.multimodal_vae
gc.freeze()  # a child would free what it has of its parent, which takes a second
for line in sys.stdin:
    module, arguments, folder, output = json.loads(line)
    child = os.fork()
    if not child:
        file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1), os.dup2(file, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
        os.chdir(folder)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@contextlib.contextmanager
def commands(repository, home, output):
    """run(module, arguments, folder=home) -> (exit code, what was printed)."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "HOME": str(home)}
    environment["PYTHONPATH"] = str(repository)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=home,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(module, arguments, folder=home):
        asked = [module, [*arguments], str(folder), str(output)]
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline()), output.read_text(errors="replace")

    yield run
    server.stdin.close()
    server.wait(60)
