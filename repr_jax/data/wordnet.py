"""WordNet's nouns, and the tree of some of them.

The file data.noun, of any version, has a line for each noun synset, that is, a set of
words with one meaning: its number, its words, and pointers, of which "@" leads to a
more general synset and "@i" from an instance to its kind. `apt-get install
wordnet-base` puts version 3.0, whose numbers are ImageNet's, in /usr/share/wordnet.
Synsets are named as there: n02110185 for number 2110185. Source of the format:
https://wordnet.princeton.edu/documentation/wndb5wn.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

DEBIAN = "/usr/share/wordnet/data.noun"
ENCODING = "utf-8-sig"  # with or without a byte-order mark


class Synset(NamedTuple):
    """A meaning."""

    words: tuple[str, ...]  # with spaces
    hypernyms: tuple[str, ...]  # more general synsets; of an instance, its kinds


class Taxonomy(NamedTuple):
    """A tree over synsets: L leaves, then other nodes; the root is the last."""

    parents: np.ndarray  # [nodes] int64 as in `repr_jax.trees`, -1 for the root
    synsets: tuple[str, ...]  # [nodes]
    names: tuple[str, ...]  # [nodes] the first word of each


def read(path: str | os.PathLike | None = None) -> dict[str, Synset]:
    """Every noun synset by name.

    Args:
      path: data.noun, or a folder that holds it; None looks where Debian puts it.

    Raises:
      FileNotFoundError: there is none.
      ValueError: a line is not as the format wants it, which is named; or no line is.
    """
    file = pathlib.Path(DEBIAN if path is None else path).expanduser()
    file = file / "data.noun" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(
            f"wordnet.read: expected WordNet's data.noun; there is no {file}. "
            f"Debian has it in wordnet-base."
        )
    nouns = {}
    with open(file, encoding=ENCODING, errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith("  "):  # the license, before the first synset
                continue
            try:
                name, synset = _parse(line)
            except (ValueError, IndexError):
                raise ValueError(
                    f"wordnet.read: expected a synset in line {number} of {file}; got "
                    f"{line[:40]!r}."
                ) from None
            nouns[name] = synset
    if not nouns:
        raise ValueError(f"wordnet.read: expected synsets in {file}; got none.")
    return nouns


def _parse(line: str) -> tuple[str, Synset]:
    """offset file n words(hex) [word id] ... pointers [symbol offset pos ends] ..."""
    fields = line.partition(" | ")[0].split()
    if fields[2] != "n" or len(fields[0]) != 8:
        raise ValueError
    num_words = int(fields[3], 16)
    words = fields[4 : 4 + 2 * num_words : 2]
    start = 4 + 2 * num_words
    num_pointers = int(fields[start])
    pointers = fields[start + 1 :]
    if len(pointers) != 4 * num_pointers or len(words) != num_words:
        raise ValueError
    of_kind = {"@": [], "@i": []}
    for symbol, offset in zip(pointers[::4], pointers[1::4]):
        of_kind.get(symbol, []).append(f"n{int(offset):08d}")
    words = tuple(word.replace("_", " ") for word in words)
    return f"n{int(fields[0]):08d}", Synset(words, (*of_kind["@"], *of_kind["@i"]))


def ancestors(nouns: Mapping[str, Synset], name: str) -> set[str]:
    """All synsets that are more general, on every path; without the synset itself."""
    found, left = set(), [name]
    while left:
        new = set(_synset(nouns, left.pop()).hypernyms) - found
        found |= new
        left += new
    return found


def _synset(nouns: Mapping[str, Synset], name: str) -> Synset:
    if name not in nouns:
        raise ValueError(f"wordnet: expected a synset of the file; got {name}.")
    return nouns[name]


def tree(nouns: Mapping[str, Synset], leaves: Sequence[str]) -> Taxonomy:
    """The tree of these synsets and all above them, by their first hypernyms.

    A synset may have several hypernyms; the first, which WordNet's authors put first,
    makes the graph a tree.

    Args:
      nouns: as from `read`.
      leaves: names, all different, that become leaves 0, 1, ... in this order. One that
        is above another is a leaf and also a node above itself.

    Raises:
      ValueError: an unknown or repeated name, or no common root.
    """
    if not leaves or len(set(leaves)) != len(leaves):
        raise ValueError("wordnet.tree: expected different synsets, one or more.")
    depth, above = {}, {}
    for leaf in leaves:
        path = [leaf]
        while hypernyms := _synset(nouns, path[-1]).hypernyms:
            path.append(hypernyms[0])
        for level, name in enumerate(reversed(path)):
            depth[name], above[name] = level, (*_synset(nouns, name).hypernyms, None)[0]
    inner = {above[name] for name in above} - {None}
    roots = {name for name in above if above[name] is None}
    if len(roots) != 1:
        raise ValueError(f"wordnet.tree: expected one root; got {sorted(roots)}.")
    inner = sorted(inner | roots, key=lambda name: (-depth[name], name))
    number = {name: len(leaves) + i for i, name in enumerate(inner)}
    parents = [
        number[leaf] if leaf in number else number[above[leaf]] for leaf in leaves
    ]
    parents += [number.get(above[name], -1) for name in inner]
    synsets = (*leaves, *inner)
    names = tuple(nouns[name].words[0] for name in synsets)
    return Taxonomy(np.array(parents, np.int64), synsets, names)


def collapse(taxonomy: Taxonomy) -> Taxonomy:
    """Without the nodes that have a single child, which takes their place."""
    parents = taxonomy.parents
    inner = parents[:-1]
    children = np.bincount(inner[inner >= 0], minlength=len(parents))
    keep = children != 1
    above = parents.copy()
    for node in range(len(parents) - 2, -1, -1):  # from the root down
        if above[node] >= 0 and not keep[above[node]]:
            above[node] = above[above[node]]
    number = np.cumsum(keep) - 1
    kept = np.flatnonzero(keep)
    parents = np.where(above[kept] >= 0, number[above[kept]], -1)
    names = [[values[node] for node in kept] for values in taxonomy[1:]]
    return Taxonomy(parents, *map(tuple, names))
