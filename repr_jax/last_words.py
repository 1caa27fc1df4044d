"""Says in a line which process of a run has died, in place of what jax prints of it.

When one process dies, jax aborts the others from a thread of its own, with the stacks
of all threads and the dead one's number among them. No Python code runs any more, so
this is a process that reads what compiled code writes to stderr, and passes it on.

  python last_words.py PLACE PLACE ...  < what is written

PLACE is "pid 7 on host", of each process of the run in order.
"""

import os
import re
import select
import signal
import sys

FATAL = re.compile(rb"coordination_service|Terminating process because the JAX")
NUMBER = re.compile(rb"[Tt]asks?[ :/]+(\d+)|sending heartbeats\):\s+(\d+)")
UNHEARD = 5.0  # seconds after such a line, in which the process is expected to end


def line(text: bytes, places) -> str:
    """Which process died, from what jax printed."""
    found = {int(a or b) for a, b in NUMBER.findall(text)}
    # who cannot be told of a death has lost process 0, whom all talk to
    dead = sorted(n for n in found if n < len(places)) or [0]
    names = ", ".join(f"process {n} ({places[n]})" for n in dead)
    return (
        f"error: {names} of this run died or cannot be reached, so this one ends too. "
        "The same command continues from the last checkpoint.\n"
    )


def main(places) -> None:
    """Passes on stdin until its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # ends when its writer does
    held = b""
    while True:
        ready = select.select([0], [], [], UNHEARD if held else None)[0]
        data = os.read(0, 1 << 16) if ready else b""
        if held or FATAL.search(data):
            held += data
        elif data:
            os.write(2, data)
        if ready and not data:
            break
        if not ready:  # it lives on
            os.write(2, held)
            held = b""
    if held:
        os.write(2, line(held, places).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
