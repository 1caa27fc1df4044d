"""Scores of trees that are right by construction, and what the tables make of them."""

import numpy as np
import pytest

from experiments.papers import hierarchy_scores as scores
from experiments.papers.hierarchy_scores import Tree
from experiments.results import tables

COARSE = np.array([0, 0, 1, 1, 1])
RIGHT = np.array([5, 5, 6, 6, 7, 8, 7, 8, -1])  # ((0, 1), ((2, 3), 4))
WRONG = np.array([5, 6, 5, 6, 7, 8, 7, 8, -1])  # ((0, 2), ((1, 3), 4))


def test_the_reference_has_two_levels():
    reference = scores.reference_tree(COARSE)
    np.testing.assert_array_equal(reference, [5, 5, 6, 6, 6, 7, 7, -1])


def test_a_tree_that_refines_the_taxonomy_agrees_with_it():
    right = scores.of_taxonomy(Tree(RIGHT, np.arange(5), 1.0), COARSE)
    wrong = scores.of_taxonomy(Tree(WRONG, np.arange(5), 1.0), COARSE)
    for name in ("best F1", "best F1 by size", "triplets", "coarse NMI", "coarse ARI"):
        assert right[name] == pytest.approx(1) and wrong[name] < 1
    assert right["cophenetic"] > wrong["cophenetic"]
    assert right["Robinson-Foulds"] < wrong["Robinson-Foulds"]


def test_clusters_that_are_the_classes_score_one():
    labels = np.arange(50) % 5
    found = scores.of_clusters(Tree(RIGHT, labels, 2.0), labels, COARSE[labels])
    for name in ("NMI", "ARI", "ACC", "leaf purity", "dendrogram purity"):
        assert found[name] == pytest.approx(1)
    assert found["coarse dendrogram purity"] == pytest.approx(1)
    assert found["coarse ARI"] == pytest.approx(1)
    assert found["lhd_mistake"] == 0 and found["leaves"] == 5
    assert found["seconds"] == 2.0
    wrong = scores.of_clusters(Tree(WRONG, labels, 2.0), labels, COARSE[labels])
    assert wrong["dendrogram purity"] == pytest.approx(1)
    assert wrong["coarse dendrogram purity"] < 0.9


def test_tables_show_means_and_mark_the_best():
    found = {
        "a": [{"ACC": 0.5, "lhd_log": 0.1}, {"ACC": 0.7, "lhd_log": 0.3}],
        "b": [{"ACC": 0.4, "lhd_log": 0.1}],
    }
    text = tables.markdown(scores.table(found))
    assert "| method | ACC | lhd_log ↓ |" in text
    assert "| a | **0.600** ± 0.100 | 0.200 ± 0.100 |" in text
    assert "| b | 0.400 | **0.100** |" in text
    assert ("a", 1, "ACC", 0.7) in scores.csv_rows(found)
    assert scores.draw(found, ["ACC", "lhd_log"])[:4] == b"\x89PNG"
