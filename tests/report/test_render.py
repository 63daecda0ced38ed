import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.thumbnails import thumbnail
from fashionprobe.report import figures
from fashionprobe.report.render import Section, render

EVIL = '<script>alert("1")</script>'
VOID = {"img", "meta"}


class Page(HTMLParser):
    """Reads a page: its tags with attributes, its visible text, and whether all tags are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="session")
def full(section):
    """A section with everything in it."""
    return section(
        [0.65, 0.54],
        samples={"check": [thumbnail(np.zeros((80, 60, 3), np.uint8))] * 2, "plain": []},
        facts={"backbone": "MobileNet", "seed": "0"},
        versions={"keras": "3.15"},
        notes=["12 images skipped: see skipped.csv"],
        missing=1,
    )


@pytest.fixture(scope="session")
def html(full):
    """The page of that section alone."""
    return render([full], title="My shirts", command="fashionprobe report --seed 0")


@pytest.fixture
def outlines(monkeypatch):
    """Leave the figures unsaved, for tests of the page around them: saving takes most of the time."""
    monkeypatch.setattr(figures, "svg", lambda figure: b"<?xml")


def test_the_page_opens_with_the_headline(html):
    assert Page(html).text.startswith("My shirts My shirts colour is best read at block 1 (0.65 ± 0.02, 4-NN).")


def test_the_page_is_html5_with_language_title_and_viewport(html):
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>\n<html")
    assert page.named("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in page.named("meta"))
    assert "<title>My shirts</title>" in html
    assert len(page.named("h1")) == 1


def test_nothing_is_loaded_from_elsewhere(full, section):
    html = render([full, section([0.5, 0.5], run="random")], title="t", command="fashionprobe report")
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html
    for _, attributes in page.tags:
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:").startswith("data:")


def test_every_image_is_inside_and_has_words(html):
    images = Page(html).named("img")
    assert len(images) == 5
    for image in images:
        kind, data = image["src"].split(";base64,")
        start = {"data:image/svg+xml": b"<?xml", "data:image/jpeg": b"\xff\xd8"}[kind]
        assert base64.b64decode(data, validate=True).startswith(start)
        assert len(image["alt"]) > 10


def test_words_for_figures_tell_their_values(html):
    words = [image["alt"] for image in Page(html).named("img")]
    assert words[0] == "Sample image of class check"
    assert "4-NN: 0.65 ± 0.02 at block 1, 0.54 ± 0.02 at block 2. Chance is 0.5." in words[2]
    assert "Best: check, 0.75." in words[3]
    assert "check taken for plain (7 of 8); plain taken for check (1 of 2)" in words[4]


def test_the_table_holds_every_value_and_marks_the_best(html):
    cells = re.findall(r'<td class="shade( best)?" style="--shade: [\d.]+">(?:<strong>)?([^<]+)<', html)
    assert cells == [
        (" best", "0.65"),
        ("", "0.54"),
        ("", "0.55 ± 0.02"),
        ("", "0.44 ± 0.02"),
        (" best", "0.65 ± 0.02"),
        ("", "0.54 ± 0.02"),
    ]


def test_the_reader_finds_how_it_was_measured(html):
    text = Page(html).text
    for part in (
        "12 images skipped: see skipped.csv",
        "1 image has no value for this label and was left out.",
        "stratified 5-fold cross-validation",
        "global average pooling",
        "The backbone saw 1,040 images once",
        "A blind guess scores 0.5",
        "backbone MobileNet seed 0",
        "keras 3.15",
        "0.53 to 0.89",
        "fashionprobe report --seed 0",
    ):
        assert part in text


def test_only_the_classifiers_of_the_table_are_explained(html):
    text = Page(html).text
    assert "k-NN names the class" in text
    assert "Nearest mean" not in text


def test_empty_parts_are_left_out(section, outlines):
    text = Page(render([section([0.65, 0.54])], title="t")).text
    for heading in ("The classes", "Run parameters", "Make this report again", "Runs compared", "left out"):
        assert heading not in text


def test_runs_of_one_label_are_compared(section, outlines):
    page = Page(render([section([0.75, 0.6]), section([0.55, 0.5], run="random")], title="t"))
    assert "Runs compared: colour" in page.text
    words = page.named("img")[0]["alt"]
    assert "Run imagenet: 4-NN: 0.75 ± 0.02 at block 1" in words
    assert "Run random: 4-NN: 0.55 ± 0.02 at block 1" in words


def test_runs_without_a_common_classifier_are_not_drawn_together(section, outlines):
    other = section([0.55, 0.5], run="random", best_parameter="8")
    other = Section(**{**vars(other), "accuracy": other.accuracy.replace({"parameter": {"4": "8"}})})
    page = Page(render([section([0.75, 0.6]), other], title="t"))
    assert "Runs compared" not in page.text


def test_sections_may_differ_in_their_blocks(section, outlines):
    html = render([section([0.8, 0.5, 0.4]), section([0.7], label="pattern")], title="t")
    assert html.count(">-<") == 2


def test_many_classes_fold_away(section, outlines):
    names = [f"class {place}" for place in range(25)]
    page = Page(render([section([0.6, 0.5], classes=names, samples={name: [b""] for name in names})], title="t"))
    assert "13 more classes" in page.text
    assert len([image for image in page.named("img") if image["alt"].startswith("Sample")]) == 25


def test_names_from_outside_are_escaped_everywhere(section, outlines):
    evil = section(
        [0.65, 0.54],
        label=EVIL,
        run=EVIL,
        dataset=EVIL,
        classes=[EVIL, "plain"],
        samples={EVIL: [b"x"]},
        facts={EVIL: EVIL},
        versions={EVIL: EVIL},
        notes=[EVIL],
    )
    other = Section(**{**vars(evil), "run": EVIL + "2"})
    page = Page(render([evil, other], title=EVIL, command=EVIL))
    assert not page.named("script")
    assert page.text.count(EVIL) > 20
    assert any(image["alt"] == f"Sample image of class {EVIL}" for image in page.named("img"))


def test_template_marks_in_names_stay_text(section, outlines):
    assert "{{ 7 * 7 }}" in Page(render([section([0.6, 0.5], run="{{ 7 * 7 }}")], title="t")).text


def test_the_same_sections_give_the_same_page(full, html):
    assert render([full], title="My shirts", command="fashionprobe report --seed 0") == html


def test_no_section_is_refused():
    with pytest.raises(UserError, match=r"`sections` must be one section or more. Received: none."):
        render([], title="t")
