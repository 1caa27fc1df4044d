"""The page of a tree in a real browser, without a screen."""

import pathlib
import shutil

import numpy as np
import pytest

from repr_jax import trees
from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import files

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1100,1000",
)
NAMES = ["<b>ant</b>", "bee", "cat", "dog", 'eel "e"', "fox & co"]
# Elements of a page, however many classes: what a browser lays out again at each step.
DRAWN = 600


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs the programs chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    opened = webdriver.Chrome(options=options, service=service)
    opened.implicitly_wait(0)
    yield opened
    opened.quit()


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def page(tree, names, **options):
    """The page that the command writes."""
    return files.contents(tree, names, **options)["index.html"].decode()


def texts(browser, selector):
    return [element.text for element in find(browser, selector)]


def click(browser, selector):
    (element,) = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView()", element)
    element.click()
    settle(browser)


def wait(browser, condition, *arguments):
    """Waits until a JavaScript expression is true, and returns it."""
    from selenium.webdriver.support.ui import WebDriverWait

    script = f"return {condition}"
    return WebDriverWait(browser, 30, 0.01).until(
        lambda b: b.execute_script(script, *arguments)
    )


def settle(browser):
    """Waits until the page shows what its address says: events come a little later."""
    last = 'document.querySelector("#path button:last-child")'
    wait(browser, f'{last} && location.hash === "#" + {last}.dataset.node')


def show(browser, path: pathlib.Path, content: str, fragment=""):
    """Opens a page; a busy browser can say that it did while the last still stands."""
    path.write_text(content)
    address = path.as_uri() + fragment
    browser.get(address)
    there = 'location.href === arguments[0] && document.readyState === "complete"'
    wait(browser, there, address)


def complaints(browser):
    """All that the page wrote to the console, but for the icon that no file has."""
    return [
        line for line in browser.get_log("browser") if "favicon" not in line["message"]
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tree of six classes with images of one gray each; its page."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 10)
    logits = (
        rng.normal(size=(60, 6)) + 4 * np.eye(6)[labels] + 2 * (labels < 3)[:, None]
    )
    logits[:, 3:] += 2 * (labels >= 3)[:, None]
    images = np.broadcast_to((40 * labels)[:, None, None, None], (60, 8, 8, 1))
    tree = hierarchy.fit(logits)
    content = page(
        tree,
        NAMES,
        title="A <tree>",
        note="1 & 2",
        support=np.concatenate([np.ones(6), np.linspace(0, 1, 5)]),
        images=images.astype(np.uint8),
    )
    return tree, content, tmp_path_factory.mktemp("page") / "index.html"


def shown_nodes(browser, selector):
    return [int(x.get_attribute("data-node")) for x in find(browser, selector)]


def test_walk_from_the_root_to_a_leaf_and_back(browser, small):
    tree, content, path = small
    show(browser, path, content)
    assert browser.title == "A <tree>"
    assert texts(browser, "h1") == ["A <tree>"] and texts(browser, "main > p") == [
        "1 & 2"
    ]
    assert texts(browser, "#here h2") == ["All leaves"]
    assert texts(browser, "#path button") == ["All leaves"]
    node, trail, below = len(tree.parents) - 1, [], trees.below(tree.parents)
    while node >= 6:
        shown = texts(browser, "#here p")
        assert shown[0].startswith(f"{below[node].sum()} leaves, ")
        names = {NAMES[leaf] for leaf in np.flatnonzero(below[node])}
        assert set(shown[1].split(", ")) == names
        facts = dict(
            zip(texts(browser, "#here th"), texts(browser, "#here td"), strict=True)
        )
        assert float(facts[files.LABELS["height"]]) == pytest.approx(
            tree.heights[node], rel=1e-3
        )
        support = (node - 6) / 4
        assert float(facts[files.LABELS["bootstrap"]]) == pytest.approx(support)
        trail.append(node)
        node = int(tree.merges[node - 6].min())
        click(browser, f"svg [data-node='{node}'] :is(circle, text)")
        assert shown_nodes(browser, "#path button") == [*trail, node]
    assert texts(browser, "#here h2") == [NAMES[node]]  # names are text, not HTML
    assert texts(browser, "#path button")[-1] == NAMES[node]
    assert texts(browser, "#here p")[0] == f"1 leaf, {tree.counts[node]} rows"
    click(browser, f"#path button[data-node='{trail[1]}']")
    assert len(find(browser, "#path button")) == 2
    browser.back()
    settle(browser)
    assert texts(browser, "#here h2") == [NAMES[node]]
    assert complaints(browser) == []


def test_the_dendrogram_is_the_tree_and_leads_to_nodes(browser, small):
    tree, content, path = small
    show(browser, path, content)
    assert sorted(shown_nodes(browser, "svg [data-node]")) == list(range(11))
    assert texts(browser, "svg .leaf text") == [
        NAMES[leaf] for leaf in trees.leaf_order(tree.parents)
    ]
    spots = {
        int(g.get_attribute("data-node")): (float(c.get_attribute("cy")))
        for g in find(browser, "svg .inner")
        for c in g.find_elements("css selector", "circle")
    }
    rows = {leaf: i for i, leaf in enumerate(trees.leaf_order(tree.parents))}
    y = [22 * (rows[leaf] + 0.5) for leaf in range(6)]
    for node in range(6, 11):  # a parent is in the middle of its children
        y.append(np.mean([y[child] for child in tree.merges[node - 6]]))
        assert spots[node] == pytest.approx(y[node])
    click(browser, "svg [data-node='7'] circle")
    assert shown_nodes(browser, "#path button")[-1] == 7
    assert shown_nodes(browser, "svg .chosen") == [7]
    click(browser, "svg [data-node='2'] text")
    assert texts(browser, "#here h2") == [NAMES[2]]
    assert complaints(browser) == []


def test_images_of_a_node_are_those_of_its_classes(browser, small):
    tree, content, path = small
    show(browser, path, content)
    below = trees.below(tree.parents)
    for node in (10, *tree.merges[-1].tolist()):
        click(browser, f"svg [data-node='{node}'] :is(circle, text)")
        images = find(browser, "#here img")
        assert len(images) == 4 * below[node].sum()
        for image in images:
            loaded = "arguments[0].complete && arguments[0].naturalWidth"
            assert wait(browser, loaded, image) == 8
            assert image.get_attribute("alt") in {
                NAMES[leaf] for leaf in np.flatnonzero(below[node])
            }
    gray = """
        const canvas = document.createElement("canvas");
        const context = canvas.getContext("2d");
        context.drawImage(arguments[0], 0, 0);
        return context.getImageData(1, 1, 1, 1).data[0];
    """
    for image in find(browser, "#here img"):
        label = NAMES.index(image.get_attribute("alt"))
        assert browser.execute_script(gray, image) == 40 * label
    assert complaints(browser) == []


def test_search_leads_to_classes(browser, small):
    _, content, path = small
    show(browser, path, content)
    (search,) = find(browser, "#search")
    search.send_keys("E")
    expected = sorted(name for name in NAMES if "e" in name)
    assert sorted(texts(browser, "#found button")) == expected
    search.send_keys("EL")
    assert texts(browser, "#found button") == ['eel "e"']
    click(browser, "#found button")
    assert texts(browser, "#here h2") == ['eel "e"']
    search.send_keys("?")
    assert texts(browser, "#found button") == []
    show(browser, path, content, "#nonsense")
    assert texts(browser, "#here h2") == ["All leaves"]
    assert complaints(browser) == []


def test_a_page_of_a_thousand_classes_draws_a_bounded_part(browser, tmp_path):
    rng = np.random.default_rng(0)
    groups = [np.arange(1000) // size for size in (1, 10, 100)]
    logits = sum(2.0 * (group[:, None] == group) for group in groups)
    tree = hierarchy.fit(logits + rng.normal(size=(1000, 1000)) * 0.1)
    images = rng.integers(256, size=(1000, 16, 16, 3), dtype=np.uint8)
    names = [f"class {i}" for i in range(1000)]
    content = trees.page(tree.parents, tree.heights, names, images=images[:, None])
    below = trees.below(tree.parents)
    show(browser, tmp_path / "index.html", content)
    assert len(find(browser, "svg .group, svg .leaf")) == 40
    parts = shown_nodes(browser, "svg .group, svg .leaf")
    assert (below[parts].sum(axis=0) == 1).all()
    drawn = "return document.body.getElementsByTagName('*').length"
    assert browser.execute_script(drawn) < DRAWN
    node, steps = len(tree.parents) - 1, 0
    while node >= 1000:
        sides = tree.merges[node - 1000]
        node = int(sides[np.argmax(below[sides].sum(axis=1))])
        click(browser, f"svg [data-node='{node}'] :is(circle, text)")
        steps += 1
    assert texts(browser, "#here h2") == [f"class {node}"]
    assert steps > 12
    assert browser.execute_script(drawn) < DRAWN
    assert len(find(browser, "#path button")) == 1 + steps
    (search,) = find(browser, "#search")
    search.send_keys("class 99")
    expected = ["class 99", *(f"class {i}" for i in range(990, 1000))]
    assert texts(browser, "#found button") == expected
    assert complaints(browser) == []
