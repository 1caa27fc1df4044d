"""Says in a line which process of a run has died, in place of what jax prints of it.

When one process dies, jax aborts the others from a thread of its own, with the stacks
of all threads and the dead one's number among them. No Python code runs any more, so
this is a process that reads what compiled code writes to stderr, and passes it on.

  python last_words.py NUMBER  < what is written

NUMBER is an open file, into which a line comes for each process of the run in order,
"pid 7 on host", once they have joined.
"""

import os
import re
import select
import signal
import sys

FATAL = re.compile(rb"coordination_service|Terminating process because the JAX")
NUMBER = re.compile(rb"[Tt]asks?[ :/]+(\d+)|sending heartbeats\):\s+(\d+)")
LATE = b"RegisterTask"  # what it could not do in time
UNHEARD = 5.0  # seconds after such a line, in which the process is expected to end


def line(text: bytes, places: list[str]) -> str:
    """Which process died, from what jax printed; places: those known, or none yet."""
    if LATE in text and not places:
        return (
            "error: not every process of this run has joined it in time, so this one "
            "ends: one was not started, or died before that. The same command "
            "continues from the last checkpoint.\n"
        )
    found = {int(a or b) for a, b in NUMBER.findall(text)}
    # who cannot be told of a death has lost process 0, whom all talk to
    dead = sorted(n for n in found if n < len(places) or not places) or [0]
    named = [f" ({place})" for place in places] or [""] * (dead[-1] + 1)
    names = ", ".join(f"process {n}{named[n]}" for n in dead)
    return (
        f"error: {names} of this run died or cannot be reached, so this one ends too. "
        "The same command continues from the last checkpoint.\n"
    )


def main(number: int) -> None:
    """Passes on stdin until its end."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(one, signal.SIG_IGN)  # ends when its writer does
    held, places, files = b"", b"", [0, number]
    while True:
        ready = select.select(files, [], [], UNHEARD if held else None)[0]
        if number in ready:
            more = os.read(number, 1 << 16)
            places, files = places + more, files if more else [0]
            continue
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
        places = places.decode(errors="replace").splitlines()
        os.write(2, line(held, places).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
