"""The page in a headless browser, from the first stroke to the search with a photograph."""

import getpass
import json
import re
from urllib.parse import quote

import numpy as np
import pytest
from app_runs import Server
from PIL import Image

from fashionprobe.feedback.masks import drawings

pytest.importorskip("gradio", reason="the extra app is not installed")
pytestmark = pytest.mark.slow
SLOW = 60_000
INKED = """() => {
  const canvas = document.querySelector("#fp-mark canvas"), pen = canvas.getContext("2d");
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.filter((value, at) => at % 4 === 3 && value >= 128).length;
}"""
READY = "#fp-mark [data-ready]"


@pytest.fixture(scope="module")
def server(copied):
    running = Server(copied).start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def page(browser, server):
    """The page, open; what it asked for and what went wrong in it."""
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    found.asked, found.wrong = [], []
    found.on("request", lambda request: found.asked.append(request.url))
    found.on("pageerror", lambda error: found.wrong.append(str(error)))
    found.set_default_timeout(20_000)
    found.goto(server.url)
    found.wait_for_selector(READY)
    return found


def stroke(page, start, end):
    """Draw a line between two places of the picture, given as shares of its width and height."""
    box = page.locator("#fp-mark canvas").bounding_box()
    (x, y), (to_x, to_y) = ((box["x"] + box["width"] * at[0], box["y"] + box["height"] * at[1]) for at in (start, end))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to_x, to_y, steps=6)
    page.mouse.up()


def saved(page):
    page.wait_for_function("() => /^Saved/.test(document.querySelector('#fp-mark [data-is=status]').textContent)")


def turn(page, key):
    """Go to another image by the keyboard, and wait for it."""
    page.locator("#fp-mark canvas").focus()  # in a filter, an arrow key chooses
    before = page.locator(READY).get_attribute("data-ready")
    page.keyboard.press(key)
    page.wait_for_function("was => document.querySelector('#fp-mark [data-ready]').dataset.ready !== was", arg=before)


def do(page, action):
    page.locator(f'#fp-mark [data-do="{action}"]').click()


def words(page, name):
    return page.locator(f'#fp-mark [data-is="{name}"]').inner_text()


def masks(run):
    return {mark.id: drawings.mask_of(run / "marks", mark.now) for mark in drawings.load_all(run / "marks")}


def shown(page):
    """Id of the image that is shown."""
    return page.locator("#fp-mark .fp-id").inner_text()


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_a_person_marks_three_images_erases_undoes_reloads_and_finds_the_masks(page, copied):
    names, drawn = [], {}
    for number in range(3):
        names.append(shown(page))
        stroke(page, (0.1, 0.9), (0.3, 0.9))
        saved(page)
        if number == 0:
            page.get_by_label("Note").fill("the mark, <b>not</b> the letter")
            page.get_by_label("Note").press("Enter")
        turn(page, "ArrowRight")
    assert len(set(names)) == 3 and words(page, "count") == "3 of 42 marked"
    turn(page, "ArrowLeft")
    whole = masks(copied)
    assert set(whole) == set(names) and all(mask.shape == (72, 72) for mask in whole.values())
    # The line lies where it was drawn: from a tenth to three tenths of the width, at nine tenths of the height.
    rows, columns = np.nonzero(whole[names[2]])
    assert abs(rows.mean() - 0.9 * 72) < 1 and 4 <= columns.min() <= 9 and 19 <= columns.max() <= 25
    do(page, "eraser")
    stroke(page, (0.25, 0.8), (0.25, 1.0))
    saved(page)
    drawn["erased"] = masks(copied)[names[2]]
    assert 0 < drawn["erased"].sum() < whole[names[2]].sum()
    stroke(page, (0.12, 0.8), (0.12, 1.0))
    saved(page)
    do(page, "undo")
    page.wait_for_function("() => !document.querySelector('#fp-mark [data-do=redo]').disabled")
    saved(page)
    do(page, "brush")
    page.reload()
    page.wait_for_selector(READY)
    assert words(page, "count") == "3 of 42 marked" and shown(page) == names[2]
    assert np.array_equal(masks(copied)[names[2]], drawn["erased"])
    # The mask that is shown is the one on disk.
    assert page.evaluate(INKED) == drawn["erased"].sum()
    for _ in range(2):
        turn(page, "ArrowLeft")
    assert page.get_by_label("Note").input_value() == "the mark, <b>not</b> the letter"
    assert drawings.load(copied / "marks", names[0]).now.note == "the mark, <b>not</b> the letter"


def test_arrow_keys_move_the_cursor_while_a_note_is_typed(page):
    before = shown(page)
    page.get_by_label("Note").press("ArrowRight")
    page.get_by_label("Note").press("ArrowLeft")
    assert shown(page) == before


def test_filters_leave_the_images_asked_for(page, copied):
    page.get_by_role("radio", name="marked", exact=True).check()
    page.wait_for_function("() => document.querySelector('#fp-mark [data-is=count]').textContent === '3 of 3 marked'")
    page.get_by_role("radio", name="not marked", exact=True).check()
    page.wait_for_function("() => document.querySelector('#fp-mark [data-is=count]').textContent === '0 of 39 marked'")
    page.locator("#fp-mark").scroll_into_view_if_needed()
    page.get_by_role("group", name="Masks").get_by_role("radio", name="all").or_(
        page.locator("fieldset", has_text="Masks").get_by_role("radio", name="all")
    ).first.check()
    page.wait_for_function("() => document.querySelector('#fp-mark [data-is=count]').textContent === '3 of 42 marked'")


def test_a_killed_server_loses_no_mask(page, server, copied):
    for _ in range(3):
        turn(page, "ArrowRight")
    name = shown(page)
    server.kill()
    stroke(page, (0.5, 0.5), (0.6, 0.5))
    page.wait_for_function(
        "() => /^Not saved yet/.test(document.querySelector('#fp-mark [data-is=status]').textContent)"
    )
    assert name not in masks(copied)
    # It is kept in the browser, and sent when there is a server again.
    kept = page.evaluate("() => Object.keys(localStorage).filter((key) => key.startsWith('fashionprobe/')).length")
    assert kept == 1
    server.start()
    saved(page)
    page.wait_for_function("() => !Object.keys(localStorage).some((key) => key.startsWith('fashionprobe/'))")
    assert masks(copied)[name].any()
    # A page that is opened again sends what the one before it could not.
    page.route("**/component_server**", lambda route: route.abort())
    stroke(page, (0.5, 0.7), (0.6, 0.7))
    page.wait_for_function(
        "() => /^Not saved yet/.test(document.querySelector('#fp-mark [data-is=status]').textContent)"
    )
    assert not masks(copied)[name][int(0.7 * 72), int(0.55 * 72)]
    page.unroute_all()
    page.reload()
    page.wait_for_selector(READY)
    page.wait_for_function("() => !Object.keys(localStorage).some((key) => key.startsWith('fashionprobe/'))")
    assert shown(page) == name and masks(copied)[name][int(0.7 * 72), int(0.55 * 72)]


def test_two_browsers_never_lose_each_others_masks(browser, page, server, copied):
    other = browser.new_context().new_page()
    other.set_default_timeout(20_000)
    other.goto(server.url)
    other.wait_for_selector(READY)
    while shown(other) != shown(page):
        turn(other, "ArrowRight")
    name = shown(page)
    turn(page, "ArrowRight")
    turn(page, "ArrowLeft")
    before = masks(copied)[name].sum()
    stroke(page, (0.5, 0.1), (0.7, 0.1))
    saved(page)
    first = masks(copied)[name]
    stroke(other, (0.5, 0.3), (0.7, 0.3))
    other.wait_for_selector("#fp-mark [data-is=clash]:not([hidden])")
    # What was saved first counts, and the second is there, too.
    assert np.array_equal(masks(copied)[name], first) and first.sum() > before
    (second,) = drawings.load(copied / "marks", name).others
    assert drawings.mask_of(copied / "marks", second)[int(0.3 * 72), int(0.6 * 72)]
    do(other, "both")
    other.wait_for_selector("#fp-mark [data-is=clash]", state="hidden")
    saved(other)
    union = masks(copied)[name]
    assert union[int(0.3 * 72), int(0.6 * 72)] and union[int(0.1 * 72), int(0.6 * 72)]
    assert not drawings.load(copied / "marks", name).others
    other.close()


def test_a_short_refit_shows_before_and_after(page, copied):
    page.locator("#fp-iterations input[type=number]").fill("5")
    page.locator("#fp-iterations input[type=number]").press("Enter")
    page.locator("#fp-refit").click()
    page.wait_for_selector("#fp-refit-status [role=status]")
    page.wait_for_selector("#fp-refit-result .fp-outcome", timeout=3 * SLOW)
    table = page.locator("#fp-refit-result table").inner_text()
    assert re.search(r"Base\s+\d+\.\d %", table) and re.search(r"PASA\s+\d+\.\d %", table)
    for when in ("Your mask", "Before", "After"):
        assert page.locator("#fp-refit-result figure", has_text=when).count() == len(masks(copied))
    assert (copied / "refit" / "model.keras").is_file() and (copied / "masks" / "masks.csv").is_file()
    # The same again: it is there already, so it is asked for before it goes.
    page.locator("#fp-iterations input[type=number]").fill("10")
    page.locator("#fp-iterations input[type=number]").press("Enter")
    page.locator("#fp-refit:not([disabled])").click()
    page.wait_for_selector("#fp-refit-status [role=alert]", timeout=SLOW)
    assert "Replace the existing refit" in page.locator("#fp-refit-status").inner_text()


def test_explore_shows_prediction_heatmaps_and_channels(page, tmp_path):
    tab(page, "Explore")
    picture = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)).save(picture)
    page.locator("#fp-explore-upload input[type=file]").set_input_files(picture)
    page.wait_for_selector("#fp-said:has-text('mine.png')")
    page.wait_for_selector("#fp-channels figure")
    assert page.locator("#fp-heats figure").count() == 4 and page.locator("#fp-channels figure").count() == 12
    # `maximize` made pictures of two of the channels.
    assert page.locator("#fp-channels .fp-two").count() == 2
    page.locator("#fp-explore-tiles .fp-tile").first.click()
    page.wait_for_selector("#fp-said:has-text('true class')")


def test_search_with_an_uploaded_photo_and_a_class_that_is_added(page, tmp_path):
    tab(page, "Search")
    photo = tmp_path / "photo.jpg"
    ramp = np.linspace(0, 255, 90).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (120, 1))] * 3, axis=-1)).save(photo)
    page.locator("#fp-upload input[type=file]").set_input_files(photo)
    page.wait_for_selector("#fp-hits .fp-tile")
    assert page.locator("#fp-hits .fp-tile").count() == 24 and "%" in page.locator("#fp-tags").inner_text()
    for number in range(3):
        page.locator("#fp-hits .fp-tile").nth(number).click()
        page.wait_for_function("n => document.querySelectorAll('#fp-chosen .fp-tile').length === n", arg=number + 1)
    page.locator("#fp-class-name").get_by_role("textbox").fill("slanted <i>")
    page.locator("#fp-add").click()
    page.wait_for_selector("#fp-tags :text('slanted <i>')")
    page.wait_for_selector("[data-testid=toast-text]:has-text('colour slanted <i> was added from 3 pictures.')")
    nearest = page.locator("#fp-hits .fp-tile").first.get_attribute("data-id")
    page.locator("#fp-hits .fp-more").nth(5).click()
    page.wait_for_selector(f"#fp-hits .fp-tile:not([data-id='{nearest}'])")
    where = page.locator("#fp-where").get_by_role("textbox")
    where.fill("`class` == 'no such letter'")
    where.press("Enter")
    page.wait_for_selector("#fp-hits:has-text('No other image fits.')")
    where.fill("")
    where.press("Enter")
    page.wait_for_selector("#fp-hits .fp-tile")


def test_search_refuses_what_is_no_picture(page, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 no picture at all")
    page.locator("#fp-upload").get_by_label("Clear").or_(
        page.locator("#fp-upload button[aria-label='Remove Image']")
    ).first.click()
    page.locator("#fp-upload input[type=file]").set_input_files(bad)
    page.wait_for_selector("[data-testid=toast-text]:has-text('must be an image file: JPEG, PNG, GIF, BMP or WEBP')")


@pytest.mark.parametrize("width", [400, 1280])
def test_the_search_on_a_narrow_and_on_a_wide_screen(browser, server, tmp_path, width):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)).save(photo)
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(20_000)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(server.url)
    page.wait_for_selector(READY)
    tab(page, "Search")
    page.locator("#fp-upload input[type=file]").set_input_files(photo)
    page.wait_for_selector("#fp-hits .fp-tile")
    # What was uploaded is shown once, both ends of the slider are, and nothing is wider than the screen.
    assert page.locator("#fp-asked img").count() == 0
    for end in ("min", "max"):
        assert page.locator(f"[data-testid={end}-value]:visible").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # All places at one moment: the page may still be moving.
    boxes = page.evaluate("""() => [...document.querySelectorAll("#fp-hits .fp-tiles > div")].map((card) =>
      [card, card.querySelector(".fp-more")].map((each) => each.getBoundingClientRect().toJSON()))""")
    assert len({round(card["height"]) for card, _ in boxes}) == 1
    for card, more in boxes:
        assert card["left"] <= more["left"] and more["bottom"] <= card["bottom"]
    for card in page.locator("#fp-hits .fp-tiles > div").all()[:4]:
        assert card.locator(".fp-id").inner_text() == card.locator(".fp-tile").get_attribute("data-id")
    # The button is not below all 24 cards.
    grid = page.locator("#fp-hits").bounding_box()
    if width == 400:
        assert grid["height"] < 700
    assert page.locator("#fp-add").bounding_box()["y"] - (grid["y"] + grid["height"]) < 600
    assert wrong == []
    page.close()


def test_a_point_of_the_map_shows_its_image_and_neighbours(page):
    tab(page, "Map")
    page.wait_for_selector("#fp-map path[data-id]")
    page.locator("#fp-map path[data-id]").nth(3).click(force=True)
    page.wait_for_selector("#fp-map-near .fp-tile")
    assert page.locator("#fp-map-near .fp-tile").count() == 12
    page.locator("#fp-which-map input").click()
    page.get_by_role("option", name="Wall of block 2").click()
    page.wait_for_selector("#fp-map .fp-wall button")
    cell = page.locator("#fp-map .fp-wall button").nth(4)
    cell.click()
    page.wait_for_selector(f"#fp-map-picked:has-text('{cell.get_attribute('data-id')}')")


def test_a_path_outside_the_run_is_refused_and_so_is_one_inside(page, server, copied, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    inside = copied / "train" / "model.keras"
    for path in (secret, inside, "/etc/passwd", f"{copied}/../../../../etc/passwd"):
        for address in (f"gradio_api/file={path}", f"gradio_api/file={quote(str(path), safe='')}"):
            answer = page.request.get(f"{server.url}{address}")
            assert answer.status in (403, 404) and "a secret" not in answer.text()
    # Not by pretending that it was uploaded, either.
    body = {"data": {"item": "../../etc/passwd", "method": "", "target": ""}, "fn_name": "look", "session_hash": "x"}
    component = page.evaluate("() => window.gradio_config.components.find((c) => c.props.elem_id === 'fp-mark').id")
    answer = page.request.post(f"{server.url}gradio_api/component_server", data={**body, "component_id": component})
    assert answer.ok and "must be in 0 to" in answer.json()["error"]


def test_a_file_that_was_not_uploaded_is_not_read(page, server, tmp_path):
    """What the page would send with a picture that was uploaded, with the path of another file."""
    config = page.request.get(f"{server.url}config").json()
    upload = next(each["id"] for each in config["components"] if each["props"].get("elem_id") == "fp-upload")
    function = next(each for each in config["dependencies"] if each["inputs"][:1] == [upload])
    secret = tmp_path / "secret.png"
    Image.new("RGB", (9, 9)).save(secret)
    data = [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}, *[None] * (len(function["inputs"]) - 1)]
    body = {"data": data, "fn_index": function["id"], "session_hash": "stranger"}
    assert page.request.post(f"{server.url}gradio_api/queue/join", data=body).ok
    told = page.request.get(f"{server.url}gradio_api/queue/data?session_hash=stranger").text()
    answer = json.loads(next(line for line in told.splitlines() if "process_completed" in line).removeprefix("data: "))
    assert answer["success"] is False and "data:image" not in told


def test_uploads_are_limited(page, server):
    for size, status in ((1000, 200), (21 * 2**20, 413)):
        file = {"name": "a.png", "mimeType": "image/png", "buffer": b"\0" * size}
        assert page.request.post(f"{server.url}gradio_api/upload", multipart={"files": file}).status == status


def test_another_sites_page_cannot_save_a_mask(page, server, copied):
    before = list(drawings.load_all(copied / "marks"))
    component = page.evaluate("() => window.gradio_config.components.find((c) => c.props.elem_id === 'fp-mark').id")
    data = {"item": 40, "mask": "", "note": "not mine", "base": "", "settles": []}
    body = {"data": data, "fn_name": "save", "component_id": component, "session_hash": "x"}
    for origin, status in (("https://evil.example", 403), ("null", 403), (server.url.rstrip("/"), 200)):
        assert list(drawings.load_all(copied / "marks")) == before
        answer = page.request.post(f"{server.url}gradio_api/component_server", data=body, headers={"Origin": origin})
        assert answer.status == status
    assert answer.json()["note"] == "not mine" and answer.json()["author"] == getpass.getuser()


def test_no_request_leaves_the_machine_and_nothing_went_wrong_in_the_page(page, server):
    assert page.asked and all(url.startswith((server.url, "data:", "blob:")) for url in page.asked)
    assert page.wrong == []
    # Another site that has its name lead here gets no answer.
    assert page.request.get(server.url, headers={"Host": "evil.example"}).status == 400


@pytest.mark.parametrize("width", [1280, 400])
def test_each_tab_fits_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for name in ("Mark", "Explore", "Search", "Map", "Filters"):
        tab(page, name)
        page.wait_for_timeout(50)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, name
