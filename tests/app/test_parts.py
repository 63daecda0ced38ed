"""What stands behind the tabs, without a browser."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from image_files import encode
from PIL import Image

from fashionprobe.app import data_uris
from fashionprobe.app.marking import FIRST_GUESS, TRUE_CLASS
from fashionprobe.app.refit_job import Correcting, RefitRequest
from fashionprobe.errors import UserError
from fashionprobe.feedback.masks import drawings
from fashionprobe.stages import masks, tag
from fashionprobe.stages.app import parts as app_parts


def place(run):
    root = run.parent.parent
    return app_parts.Place(run, None, str(root / "tfrecords"))


@pytest.fixture(scope="module")
def marking(copied):
    return app_parts.marking(place(copied))


@pytest.fixture(scope="module")
def searching(copied):
    return app_parts.searching(place(copied))


@pytest.fixture(scope="module")
def mapping(copied):
    return app_parts.mapping(place(copied))


@pytest.fixture(scope="module")
def exploring(copied, marking):
    return app_parts.exploring(place(copied), marking)


def test_only_train_and_val_may_be_marked(marking):
    assert set(marking.items["split"]) == {"train", "val"}
    with pytest.raises(UserError, match=r"`split` must be one of: train, val. Received: test"):
        marking.choose(split="test")


def test_pictures_are_those_of_the_record_set(marking):
    from fashionprobe.records.read import pictures

    records = marking.pictures.records
    names = marking.items["id"].tolist()
    stored = dict(pictures(records, names, [records.path / shard for shard in marking.items["shard"].unique()]))
    assert all(np.array_equal(marking.picture(item), stored[name]) for item, name in enumerate(names))
    many = marking.pictures.thumbnails(names)
    assert marking.pictures.thumbnails(names[5:7]) == many[5:7] == [data_uris.jpeg(stored[name]) for name in names[5:7]]


@pytest.mark.parametrize("item", [-1, 10**6, "0", None, True, 0.0])
def test_an_item_that_is_not_there_is_refused(marking, item):
    with pytest.raises(UserError, match=r"`item` must be in 0 to"):
        marking.look(item, "", FIRST_GUESS)


def test_filters_by_class_outcome_and_certainty(marking):
    marking.start().join()
    assert marking.guessed() == 1
    images = np.concatenate([marking.classifier.fitted(marking.picture(item)) for item in range(len(marking.items))])
    found = marking.classifier.predict(images)
    # Those of val are known from the training, to six digits.
    assert np.array_equal(marking.guess, found.argmax(axis=1)) and np.allclose(
        marking.sure, found.max(axis=1), atol=1e-5
    )
    number, train = marking.items["number"].to_numpy(), (marking.items["split"] == "train").to_numpy()
    right = marking.guess == number
    for outcome, wanted in (("all", train), ("right", train & right), ("wrong", train & ~right)):
        assert marking.choose(outcome=outcome)["items"] == np.flatnonzero(wanted).tolist()
    label = marking.classifier.classes[1]
    assert marking.choose(label=label)["items"] == np.flatnonzero(train & (number == 1)).tolist()
    parts = [marking.choose(sure=words)["items"] for words in ("80 % and more", "50 to 80 %", "below 50 %")]
    assert sorted(itertools.chain(*parts)) == np.flatnonzero(train).tolist()
    with pytest.raises(UserError, match=r"`outcome` must be one of: all, right, wrong. Received: wrng. Did you mean"):
        marking.choose(outcome="wrng")


def test_a_heatmap_is_of_the_class_asked_for_and_without_the_padding(marking, run):
    from fashionprobe.explain.cam import grad_cam
    from fashionprobe.explain.heatmaps import heatmap

    picture = np.random.default_rng(0).integers(0, 255, (30, 60, 3), np.uint8)
    classifier = marking.classifier
    whole = heatmap(grad_cam(classifier.model)(classifier.fitted(picture), 2), classifier.size)[0]
    # 30 x 60 pixels become 18 x 36 of 36 x 36: nine rows of padding above and below.
    assert np.allclose(classifier.heatmap(picture, "grad_cam", 2), whole[9:27], atol=1e-6)
    with pytest.raises(UserError, match=r"`class` must be in 0 to 2. Received: 3"):
        classifier.heatmap(picture, "grad_cam", 3)
    with pytest.raises(UserError, match=r"`method` must be one of"):
        classifier.heatmap(picture, "grad_camm", 0)


def test_look_says_what_the_page_shows(marking):
    seen = marking.look(3, "grad_cam", TRUE_CLASS)
    row = marking.items.iloc[3]
    assert (
        seen["id"] == row["id"]
        and seen["true"] == seen["about"] == row["class"]
        and seen["width"] == seen["height"] == 72
    )
    assert seen["picture"].startswith("data:image/jpeg;") and seen["heat"].startswith("data:image/png;")
    assert marking.look(3, "", FIRST_GUESS)["heat"] == ""
    json.dumps(seen)
    with pytest.raises(UserError, match=r"`class` must be one of"):
        marking.look(3, "grad_cam", "nothing")


def test_a_mask_is_saved_at_the_size_of_the_image_and_becomes_an_artifact(copied, marking):
    with pytest.raises(
        UserError, match=r"`source` app has no masks: none have been drawn in this run. Draw some: fashionprobe app"
    ):
        masks(dataset=marking.pictures.records.path, source="app", run="tiny", runs_root=str(copied.parent))
    drawn = np.zeros((72, 72), bool)
    drawn[50:60, 3:20] = True
    items = marking.choose(split="train")["items"][:2] + marking.choose(split="val")["items"][:1]
    for item in items:
        kept = marking.save(item, data_uris.mask_png(drawn), author=f"kim {item}", note="corner", base="")
        assert not kept["clash"] and kept["share"] == round(170 / 72**2, 6)
    assert marking.choose(marked="marked")["items"] == items[:2] and marking.kept(items[0])["note"] == "corner"
    made = masks(dataset=marking.pictures.records.path, source="app", run="tiny", runs_root=str(copied.parent))
    table = pd.read_csv(made.table, dtype=str)
    assert (
        made.masks == 3
        and set(table["author"]) == {f"kim {item}" for item in items}
        and set(table["note"]) == {"corner"}
    )
    assert set(table["time"]) == {mark.now.time for mark in drawings.load_all(copied / "marks")}
    again = masks(dataset=marking.pictures.records.path, source="app", run="tiny", runs_root=str(copied.parent))
    assert again.reused
    with pytest.raises(UserError, match=r"`note` cannot be combined with source app, where each mask has its own"):
        masks(dataset=marking.pictures.records.path, source="app", run="tiny", note="x", runs_root=str(copied.parent))


def test_the_page_begins_with_the_masks_that_are_there_and_takes_them_once(run, tmp_path):
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(run.parent.parent, root)
    here = root / "runs" / "tiny"
    masks(
        dataset=root / "tfrecords" / "letters", run="tiny", source="box", box=[0.8, 0, 1, 0.2], samples=3,
        author="rule", runs_root=str(root / "runs"),
    )  # fmt: skip
    opened = app_parts.marking(place(here))
    taken = {mark.id: mark for mark in drawings.load_all(here / "marks")}
    assert len(taken) == 3 and {mark.now.author for mark in taken.values()} == {"rule"}
    name = next(iter(taken))
    item = opened.items.index[opened.items["id"] == name][0]
    opened.save(int(item), "", author="kim", note="", base=taken[name].now.version)
    app_parts.marking(place(here))
    assert {mark.id for mark in drawings.load_all(here / "marks")} == set(taken) - {name}


def test_masks_of_another_record_set_are_named(copied, marking):
    drawings.save(copied / "marks", "elsewhere", "x", np.eye(4) > 0, author="", note="", base="")
    with pytest.raises(UserError, match=r"must be masks of images of the record set. Received: 1 unknown: elsewhere"):
        masks(
            dataset=marking.pictures.records.path,
            source="app",
            run="tiny",
            runs_root=str(copied.parent),
            overwrite=True,
        )
    drawings.save(copied / "marks", "elsewhere", "x", np.zeros((4, 4), bool), author="", note="", base="")


def test_a_picture_is_not_among_its_own_neighbours_by_its_id_and_as_a_file(searching, marking):
    name = marking.items["id"].iloc[4]
    query = searching.of_upload(encode(Image.fromarray(marking.picture(4)), "PNG"), "mine.png")
    equal = {"colour": 0.5, "pattern": 0.5}
    found = [[hit.id for hit in searching.hits(each, "both", equal, 500)] for each in (query, searching.of_id(name))]
    most = len(searching.backing.index()) - 1
    assert found[0] == found[1] and len(found[0]) == most and name not in found[0]
    # One that is only like it is a neighbour.
    other = marking.picture(4).copy()
    other[:9, :9] = 255 - other[:9, :9]
    query_like_it = searching.of_upload(encode(Image.fromarray(other), "PNG"), "other.png")
    assert searching.hits(query_like_it, "both", equal, 60)[0].id == name
    ends = [searching.hits(query, "both", {"colour": 1 - end, "pattern": end}, 9) for end in (0.0, 1.0)]
    for hits, group in zip(ends, searching.groups, strict=True):
        assert [hit.id for hit in hits] == [hit.id for hit in searching.hits(query, group, equal, 9)]
    assert ends[0] != ends[1]


def test_search_with_a_filter_finds_only_what_it_keeps(searching):
    items, equal = searching.backing.index().items, {"colour": 0.5, "pattern": 0.5}
    assert searching.columns()[0] == "class"
    first, label = items[["id", "class"]].iloc[0]
    hits = searching.hits(searching.of_id(first), "both", equal, 500, f"`class` == '{label}'")
    assert {hit.id for hit in hits} == {*items["id"][items["class"] == label]} - {first}
    assert searching.hits(searching.of_id(first), "both", equal, 60, "`class` == 'none of them'") == []
    assert len(searching.hits(searching.of_id(first), "both", equal, 500, " ")) == len(items) - 1
    with pytest.raises(UserError, match=r"`where` must be a pandas query over the columns"):
        searching.hits(searching.of_id(first), "both", equal, 60, "clas ==")


@pytest.mark.parametrize(
    "change, message",
    [({"by": "shape"}, "`by` must be one of"), ({"top": 0}, "`top` must be in 1 to 500"),
     ({"weights": {"colour": 0, "pattern": 0}}, "`weights` must be 0 or more, and not all 0"),
     ({"weights": {"colour": -1, "pattern": 2}}, "`weights` must be 0 or more, and not all 0")],
)  # fmt: skip
def test_search_refuses_what_does_not_fit(searching, change, message):
    given = {"by": "both", "weights": {"colour": 1, "pattern": 1}, "top": 3} | change
    with pytest.raises(UserError, match=message):
        searching.hits(searching.of_id(searching.backing.index().items["id"].iloc[0]), **given)


def test_tags_are_those_of_the_command_and_a_class_that_is_added_changes_them_at_once(searching, copied):
    names = searching.backing.index().items["id"].tolist()
    answers = tag(run=copied.name, id=names[:5], group="pattern", runs_root=str(copied.parent))
    for name, answer in zip(names, answers, strict=False):
        first, *rest = searching.tags(searching.of_id(name))["pattern"]
        assert first.name == answer.nearest and first.ratio == pytest.approx(answer.distance / answer.reach, rel=1e-5)
        assert 0 < first.sure <= 1 and all(first.sure >= other.sure for other in rest)
    query = searching.of_id(names[0])
    assert "colour" not in searching.tags(query)
    searching.backing.add("colour", "bright", names[:4])
    (found,) = searching.tags(query)["colour"]
    assert found.name == "bright" and found.added and found.sure is None and searching.names("colour") == ["bright"]
    searching.backing.remove("colour", "bright")
    assert "colour" not in searching.tags(query)


def test_a_map_knows_the_image_of_each_point_and_its_neighbours(mapping, copied):
    (name,) = mapping.maps
    ids, points = mapping.rows(name), mapping.points(name)
    assert [dot.lines[2] for dot in points.dots] == ids and mapping.block_of(name) == 2
    matrix = np.load(copied / "extract" / "block2.npy")
    row = list(pd.read_csv(copied / "extract" / "items.csv", dtype=str)["id"]).index(ids[0])
    far = np.linalg.norm(matrix - matrix[row], axis=1)
    far[row] = np.inf
    found = mapping.neighbours(ids[0], 2, 4)
    assert [distance for _, distance in found] == pytest.approx(sorted(far)[:4], rel=1e-4)
    with pytest.raises(UserError, match=r"`id` must be the id of an image that was described. Received: '../x'"):
        mapping.neighbours("../x", 2, 4)
    with pytest.raises(UserError, match=r"`block` must be one of: 1, 2. Received: 7"):
        mapping.neighbours(ids[0], 7, 4)


def test_a_wall_has_each_image_in_its_cell(mapping, copied):
    wall = mapping.wall(2)
    table = pd.read_csv(copied / "wall" / "wall_block2.csv", dtype={"id": str})
    for name, row, column in zip(table["id"], table["grid_row"], table["grid_column"], strict=True):
        assert wall.cells[row * wall.columns + column] == name
    assert len(mapping.pictures_of(wall)) == wall.rows * wall.columns == len(wall.cells)
    with pytest.raises(UserError, match=r"`block` must be one of: 2. Received: 1"):
        mapping.wall(1)


def test_explore_ranks_classes_and_channels(exploring, marking):
    picture = marking.picture(0)
    found = marking.classifier.predict(marking.classifier.fitted(picture))[0]
    guesses = exploring.guesses(picture)
    assert [sure for _, sure in guesses] == sorted(found.tolist(), reverse=True)
    maps = marking.classifier.feature_map(picture, "second")
    channels = exploring.channels(picture, "second", 5)
    assert [channel.peak for channel in channels] == pytest.approx(sorted(maps.max(axis=(0, 1)), reverse=True)[:5])
    assert {channel.number for channel in exploring.channels(picture, "second", 16) if channel.wanted} == {0, 3}
    assert exploring.seen(picture, "guided_backpropagation", guesses[0][0]).shape == (36, 36, 3)
    with pytest.raises(UserError, match=r"`class` must be a class of the network. Received: nothing"):
        exploring.seen(picture, "grad_cam", "nothing")


class Work:
    """A refit that does as it is told."""

    def __init__(self, act):
        self.act = act

    def run(self, request):
        self.act(request)

    def outcome(self):
        return None


def test_a_refit_tells_how_far_it_is_and_runs_alone():
    import threading

    from fashionprobe import progress

    seen, go = [], threading.Event()

    def act(request):
        with progress.bar(total=4, unit="iteration", description="refit") as bar:
            bar.update(3)
            seen.append(correcting.state)
            go.wait(10)

    correcting = Correcting(Work(act))
    assert correcting.state.phase == "none"
    thread = correcting.start(RefitRequest(iterations=4))
    with pytest.raises(UserError, match=r"`refit` is already running. Wait for it to finish."):
        correcting.start(RefitRequest())
    go.set()
    thread.join()
    assert seen[0].phase == "running" and seen[0].share == 0.75 and correcting.state.phase == "done"


@pytest.mark.parametrize(
    "error, words",
    [(UserError("masks", expected="good", received="bad"), "`masks` must be good. Received: bad."),
     (OSError(28, "No space left on device", "x"), "No space left on device"),
     (RuntimeError("odd"), "RuntimeError: odd")],
)  # fmt: skip
def test_a_refit_that_fails_says_why_and_can_be_started_again(error, words):
    def act(request):
        raise error

    correcting = Correcting(Work(act))
    correcting.start(RefitRequest()).join()
    assert correcting.state.phase == "failed" and words in correcting.state.words
    correcting.start(RefitRequest()).join()


@pytest.mark.parametrize("wanted, message", [
    (RefitRequest(loss="ce"), "`loss` must be one of"),
    (RefitRequest(iterations=0), "`iterations` must be in 1 to 10000"),
    (RefitRequest(seeds=11), "and seeds in 1 to 10"),
])  # fmt: skip
def test_a_request_that_does_not_fit_is_refused(wanted, message):
    with pytest.raises(UserError, match=message):
        Correcting(Work(lambda request: None)).start(wanted)
