"""Sentences about the scenes of `scenes`: many ways to say a few true things.

A sentence names the digit, and some of the other attributes of a scene, each in one of
several wordings, in any order. All that it says is true; what it leaves out may be true
as well. It has at most 30 words.
"""

from collections.abc import Sequence

import numpy as np

PHOTOGRAPHS = ("Astronaut", "Chelsea", "Coffee", "Flower", "China")
TINTS = ("Inverted", "Red", "Green", "Blue")
ATTRIBUTES = (
    "Even",
    "Greater_Than_Four",
    "Two_Digits",
    "Large",
    "Left",
    "Top",
    "Rotated",
    "Blurred",
    "Dark",
    "Bright",
    "Gray",
    *TINTS,
    *PHOTOGRAPHS,
)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
DIGITS += ("nine",)
OPENERS = ("this is", "here is", "look at", "a picture of", "there is", "i see")
NUMBERS = ("a {}", "the digit {}", "the number {}", "the figure {}")
SIZES = {True: ("large", "big", "huge"), False: ("small", "little", "tiny")}
COLORS = {
    "Inverted": ("inverted", "negative"),
    "Red": ("red", "crimson"),
    "Green": ("green", "emerald"),
    "Blue": ("blue", "azure"),
}
PLACES = {
    (True, True): ("at the top left", "in the upper left corner"),
    (True, False): ("at the bottom left", "in the lower left corner"),
    (False, True): ("at the top right", "in the upper right corner"),
    (False, False): ("at the bottom right", "in the lower right corner"),
}
CLAUSES = {
    "Two_Digits": ("twice", "side by side"),
    "Rotated": ("tilted", "leaning over"),
    "Blurred": ("out of focus", "blurred"),
    "Dark": ("in the dark", "at night"),
    "Bright": ("in bright light", "on snow"),
    "Gray": ("colorless", "gray behind"),
    "Astronaut": ("near an astronaut", "with a space suit"),
    "Chelsea": ("on a cat", "upon fur"),
    "Coffee": ("with some coffee", "beside a spoon"),
    "Flower": ("on a flower", "over petals"),
    "China": ("by a temple", "under a roof"),
}
MENTIONED = 0.6  # chance of each thing that could be said
NUM_DRAWS = 6 + 3 * 7  # six of the noun, three of each clause, of which there are seven


def sentence(draws: Sequence[float], digit: int, attributes: np.ndarray) -> str:
    """A true sentence.

    draws: NUM_DRAWS uniform numbers in [0, 1), which choose what is said, in what words
    and order. digit: 0 to 9. attributes: [20] bool of ATTRIBUTES.
    """
    known, draws = dict(zip(ATTRIBUTES, attributes.tolist())), iter(draws)

    def pick(words: Sequence[str]) -> str:
        return words[int(next(draws) * len(words))]

    color = next(name for name in TINTS if known[name])
    adjectives = [pick(SIZES[known["Large"]]), pick(COLORS[color])]
    adjectives = [word for word in adjectives if next(draws) < MENTIONED]
    article, _, noun = pick(NUMBERS).format(DIGITS[digit]).partition(" ")
    start = [pick(OPENERS), article, *adjectives, noun]
    clauses = [pick(CLAUSES[name]) for name in CLAUSES if known[name]]
    clauses.append(pick(PLACES[known["Left"], known["Top"]]))
    clauses = [clause for clause in clauses if next(draws) < MENTIONED]
    order = sorted((next(draws), clause) for clause in clauses)
    return " ".join([*start, *(clause for _, clause in order)])


def every_text() -> list[str]:
    """Texts that have each word of all sentences."""
    words = [*OPENERS, *NUMBERS, *DIGITS]
    for table in (SIZES, COLORS, PLACES, CLAUSES):
        words += [text for texts in table.values() for text in texts]
    return [text.replace("{}", "") for text in words]
