import re
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio", reason="the extra app is not installed")

from fashionprobe.app import html, page
from fashionprobe.stages.app import _lead


@pytest.mark.parametrize(("words", "shown"), [
    ("`runs/r/train` must be a finished artifact. Received: nothing. Make it first: fashionprobe train --run r",
     "<code>runs/r/train</code> must be a finished artifact. Received: nothing. Make it first: "
     "<code>fashionprobe train --run r</code>"),
    ("`fashionprobe see --help` lists <all>.", "<code>fashionprobe see --help</code> lists &lt;all&gt;."),
    ("No picture is chosen yet.", "No picture is chosen yet."),
])  # fmt: skip
def test_commands_and_what_stands_in_backticks_are_code(words, shown):
    assert html.missing(words) == f'<div class="fp-missing">{shown}</div>'


def test_each_card_has_its_id_and_its_buttons_inside():
    tiles = [html.Tile("a1", "data:,", "red, plain"), html.Tile("a2", "", "a2"), html.Tile("a3", "data:,")]
    cards = re.findall(r"<div>(.*?)</div>", html.tiles(tiles, [], "More like this"))
    assert [re.findall(r'<span class="fp-(?:known|id)">(.*?)</span>', card) for card in cards] == [
        ["red, plain", "a1"], ["", "a2"], [],
    ]  # fmt: skip
    assert all(card.count("More like this") == 1 and card.endswith("</button>") for card in cards)


@pytest.mark.parametrize(("there", "first"), [
    ((), "mark"), (("marking", "searching"), "mark"), (("searching", "mapping"), "search"), (("mapping",), "map"),
    (("judging",), "filters"),
])  # fmt: skip
def test_the_page_opens_where_something_is_to_be_seen(there, first):
    names = ("marking", "correcting", "exploring", "searching", "mapping", "judging")
    parts = {name: object() if name in there else "Make it first." for name in names}
    assert page._first(page.Parts(run="r", lead="", **parts)) == first


@pytest.mark.parametrize(("label", "said"), [
    ("class", "3 classes, 1,200 images of train and val."),
    ("kind", "3 classes of kind, 1,200 images of train and val."),
])  # fmt: skip
def test_a_label_called_class_is_not_named_twice(label, said):
    classifier = SimpleNamespace(classes="abc")
    assert _lead(SimpleNamespace(label=label, items=range(1200), classifier=classifier)) == said
