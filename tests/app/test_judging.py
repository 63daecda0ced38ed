"""What stands behind the tab Filters, and the tab in a browser."""

import getpass
import json

import numpy as np
import pandas as pd
import pytest
from app_runs import Server
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.feedback import verdicts
from fashionprobe.stages import relevance
from fashionprobe.stages.app import parts as app_parts


@pytest.fixture(scope="module")
def ranked(copied, without_figures):
    roots = {"tfrecords_root": str(copied.parents[1] / "tfrecords"), "runs_root": str(copied.parent)}
    with pytest.MonkeyPatch.context() as patch, without_figures():
        patch.setattr("fashionprobe.channels.rankings.TREES", 10)
        relevance(run="tiny", min_images=7, **roots)
    return copied


@pytest.fixture
def judging(ranked):
    return app_parts.judging(app_parts.Place(ranked, None, str(ranked.parents[1] / "tfrecords")))


def test_each_filter_shows_its_ninths(judging, ranked):
    import base64
    import io

    assert judging.filters == list(range(16))
    view = pd.read_csv(ranked / "relevance/filter_view.csv", keep_default_na=False)
    for number in (0, 9):
        rows = view[view["filter"] == number]
        found = judging.ninths(number)
        assert [each.images for each in found] == rows["images"].tolist()
        assert [bool(each.picture) for each in found] == (rows["images"] > 0).tolist()
        picture = next(each.picture for each in found if each.picture)
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))))
        assert pixels.shape == (36, 36, 3)


def test_a_verdict_is_there_at_once_and_stays_when_another_one_comes(judging, ranked):
    assert judging.following(None) == 0 and judging.judged() == set()
    judging.say(0, True, note="the stroke", author="kim")
    judging.say(3, False, note="", author="kim")
    assert judging.judged() == {0, 3}
    assert (judging.following(None), judging.following(2), judging.following(15)) == (1, 4, 1)
    judging.say(0, False, note="", author="ann")
    assert [(each.relevant, each.author) for each in judging.said(0)] == [(False, "ann"), (True, "kim")]
    manifest = json.loads((ranked / "relevance/manifest.json").read_text())
    there = verdicts.read(verdicts.file_of(ranked, manifest["weights_sha256"]), 16)
    assert [(each.filter, each.relevant) for each in there] == [(0, True), (3, False), (0, False)]
    for number in range(16):
        judging.say(number, True, note="", author="kim")
    assert judging.following(4) == 5


@pytest.mark.parametrize("number", [16, -1, "0", None])
def test_a_filter_that_is_not_there(judging, number):
    for call in (judging.ninths, lambda number: judging.say(number, True, note="", author="kim")):
        with pytest.raises(UserError, match=r"`filter` must be one of the 16 filters"):
            call(number)


def test_a_network_that_was_trained_again_is_told(ranked, tmp_path):
    path = ranked / "relevance/manifest.json"
    kept = path.read_text()
    path.write_text(kept.replace(json.loads(kept)["weights_sha256"], "0" * 64))
    try:
        found = app_parts.judging(app_parts.Place(ranked, None, str(ranked.parents[1] / "tfrecords")))
        with pytest.raises(UserError, match=r"Received: one of other weights\. Make it with --overwrite: fashionpro"):
            found.ninths(0)
    finally:
        path.write_text(kept)


@pytest.mark.slow
def test_two_buttons_in_the_browser(browser, ranked):
    pytest.importorskip("gradio", reason="the extra app is not installed")
    manifest = json.loads((ranked / "relevance/manifest.json").read_text())
    file = verdicts.file_of(ranked, manifest["weights_sha256"])
    file.unlink(missing_ok=True)
    server = Server(ranked).start()
    try:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(20_000)
        page.goto(server.url)
        page.get_by_role("tab", name="Filters").click()
        page.wait_for_selector("#fp-verdict:has-text('Filter 0')")
        assert page.locator("#fp-ninths figure").count() == 9
        page.locator("#fp-verdict-note textarea, #fp-verdict-note input").first.fill("the stroke")
        page.locator("#fp-relevant").click()
        page.wait_for_selector("#fp-verdict:has-text('Filter 1')")
        page.locator("#fp-irrelevant").click()
        page.wait_for_selector("#fp-verdict:has-text('2 of 16 filters')")
        found = verdicts.read(file, 16)
        assert [(each.filter, each.relevant, each.note) for each in found] == [(0, True, "the stroke"), (1, False, "")]
        assert {each.author for each in found} == {getpass.getuser()}
        page.close()
    finally:
        server.kill()
