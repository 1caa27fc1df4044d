"""Permutations of tiles that are told apart, and which of them to show next.

Source: Büchler, Brattoli and Ommer, "Improving Spatiotemporal Self-Supervision by Deep
  Reinforcement Learning", 2018, https://arxiv.org/abs/1807.11293.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.ops import checks

MOST_TILES = 9  # 362880 permutations


def maximal(num_tiles: int, num: int, *, first: int = 0) -> np.ndarray:
    """[num, num_tiles] int, permutations that differ in as many places as may be.

    Each is the one of the largest mean Hamming distance to those before it, of equally
    distant ones the first in lexicographic order.

    Args:
      num_tiles: from 2 to 9; all permutations are listed.
      num: > 0, at most num_tiles factorial.
      first: the first permutation, by its place in lexicographic order.

    Raises:
      ValueError: a number out of range.

    Source: the greedy choice is that of Noroozi and Favaro, "Unsupervised Learning of
      Visual Representations by Solving Jigsaw Puzzles", 2016,
      https://arxiv.org/abs/1603.09246.
    """
    who = "permutations.maximal"
    checks.count(who, minimum=2, num_tiles=num_tiles)
    checks.count(who, num=num)
    if num_tiles > MOST_TILES:
        raise ValueError(f"{who}: expected at most 9 tiles; got {num_tiles}.")
    every = np.array(list(itertools.permutations(range(num_tiles))), np.int8)
    if num > len(every) or not 0 <= first < len(every):
        raise ValueError(
            f"{who}: expected num and first within {len(every)} permutations; got "
            f"{num} and {first}."
        )
    chosen, away = [first], np.zeros(len(every), np.int64)
    while len(chosen) < num:
        away += (every != every[chosen[-1]]).sum(axis=1)
        away[chosen] = -1
        chosen.append(int(np.argmax(away)))
    return every[chosen].astype(np.int64)


def policy_step(
    logits: ArrayLike, group: int, reward: float, *, baseline: float, rate: float
) -> np.ndarray:
    """logits + rate (reward - baseline) (one-hot of group - softmax(logits)).

    The policy gradient (REINFORCE) of drawing groups of permutations by their logits,
    [num_groups]; the reward is the fall of the validation error after training on the
    group that was drawn. In the paper the policy sees a richer state: this is our
    choice.
    """
    checks.same_shape("permutations.policy_step", rank=1, logits=logits)
    logits = np.asarray(logits, np.float64)
    checks.within("permutations.policy_step", len(logits), group=np.array([group]))
    p = np.exp(logits - logits.max())
    toward = (np.arange(len(logits)) == group) - p / p.sum()
    return logits + rate * (reward - baseline) * toward
