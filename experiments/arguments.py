"""What the commands of experiments accept on their command lines."""

import argparse
from collections.abc import Callable


def at_least(minimum: int) -> Callable[[str], int]:
    """A `type` of argparse: a whole number that is not smaller."""

    def number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"expected at least {minimum}; got {value}."
            )
        return value

    return number
