"""The index on disk against plain NumPy: searched, grown by parts, whole or not at all."""

import json

import numpy as np
import pandas as pd
import pytest

from fashionprobe.attributes.index import Group, open_index
from fashionprobe.attributes.index_parts import compact, create, remove, replaced, write_part
from fashionprobe.attributes.normalization import fit
from fashionprobe.errors import UserError

NETWORK = {"arguments": {}, "facts": {}, "weights_sha256": "w", "run": {}}


@pytest.fixture
def descriptors():
    random = np.random.default_rng(0)
    return {1: random.normal(size=(50, 3)).astype("f4"), 4: random.normal(size=(50, 6)).astype("f4")}


@pytest.fixture
def groups(descriptors):
    return [
        Group("colour", 1, "baseColour", fit("none", descriptors[1]), fit("whiten", descriptors[1])),
        Group("pattern", 4, "", fit("whiten", descriptors[4]), fit("standard", descriptors[4])),
    ]


def put(folder, number, groups, descriptors, rows):
    items = pd.DataFrame({"id": [f"{row}.jpg" for row in rows], "baseColour": "Red"})
    part = {block: matrix[rows] for block, matrix in descriptors.items()}
    return write_part(folder, number, groups, part, items, [b"jpeg" * (row % 3) for row in rows])


@pytest.fixture
def folder(tmp_path, groups, descriptors):
    create(tmp_path, NETWORK, groups, coverage=0.8)
    put(tmp_path, 0, groups, descriptors, range(30))
    put(tmp_path, 1, groups, descriptors, range(30, 50))
    return tmp_path


def sweep(folder):
    for path in replaced(folder):
        path.unlink()


def opened(folder):
    return open_index(folder, remedy="Make it again.")


def test_a_search_over_parts_equals_numpy(folder, descriptors, groups):
    index = opened(folder)
    query = descriptors[1][7:8] + 0.1
    found = index.search("colour", {"colour": query}, 10)
    distances = np.linalg.norm(descriptors[1] - query, axis=1)
    assert found.rows.tolist() == np.argsort(distances)[:10].tolist()
    assert found.distances == pytest.approx(np.sort(distances)[:10], abs=1e-5)
    assert found.ids[0] == f"{found.rows[0]}.jpg"


def test_both_is_the_sum_of_z_scores(folder, descriptors, groups):
    index = opened(folder)
    points = {each.name: each.normalization(descriptors[each.block][3:4]) for each in groups}
    found = index.search("both", points, 50)
    total = np.zeros(50)
    for group in groups:
        distances = np.linalg.norm(group.normalization(descriptors[group.block]) - points[group.name], axis=1)
        total += (distances - distances.mean()) / distances.std()
    assert found.rows.tolist() == np.argsort(total, kind="stable").tolist()
    assert found.distances == pytest.approx(np.sort(total), abs=1e-3)


@pytest.mark.parametrize("by", ["colour", "both"])
@pytest.mark.parametrize("row", [0, 29, 30, 49])
def test_an_image_finds_itself_at_zero_or_is_left_out(folder, by, row):
    index = opened(folder)
    points = {name: index.point(group, row) for name, group in index.groups.items()}
    found = index.search(by, points, 5)
    assert found.rows[0] == row
    if by == "colour":
        assert found.distances[0] == 0
    without = index.search(by, points, 49, without=row)
    assert row not in without.rows
    assert len(set(without.rows.tolist())) == 49


def test_copies_are_all_found_at_zero(folder, descriptors, groups):
    put(folder, 2, groups, descriptors, [7, 7])
    found = opened(folder).search("colour", {"colour": descriptors[1][7:8]}, 4)
    assert found.rows[:3].tolist() == [7, 50, 51]
    assert found.distances[:3].tolist() == [0, 0, 0]
    assert found.distances[3] > 0


def test_items_and_thumbnails_of_all_parts(folder):
    index = opened(folder)
    assert len(index) == 50
    assert index.items["id"].tolist() == [f"{row}.jpg" for row in range(50)]
    assert [index.thumbnail(row) for row in (0, 1, 2, 3, 31, 49)] == [b"", b"jpeg", b"jpegjpeg", b"", b"jpeg", b"jpeg"]
    assert index.row("31.jpg") == 31
    with pytest.raises(
        UserError, match=r"of which there are 50.*Did you mean '31.jpg', '3.jpg' or '1.jpg'\? .*items.csv"
    ):
        index.row("31.jp")


def test_more_of_an_image_than_of_the_index_may_be_asked_for(folder):
    index = opened(folder)
    points = {name: index.point(group, 0) for name, group in index.groups.items()}
    for by in ("colour", "both"):
        with pytest.raises(UserError, match=r"`top` must be in 1 to 49, the images of the index. Received: 50"):
            index.search(by, points, 50, without=0)
    with pytest.raises(UserError, match=r"`by` must be one of: colour, pattern, both.*Did you mean 'colour'\?"):
        index.search("color", points, 1)


def test_a_part_counts_once_its_note_is_there(folder, descriptors, groups):
    before = opened(folder)
    note = folder / "part-0001.json"
    saved = note.read_bytes()
    note.unlink()
    assert len(opened(folder)) == 30
    # The next writer takes the place of the one that was killed.
    put(folder, 1, groups, descriptors, range(10))
    assert len(opened(folder)) == 40
    assert len(before) == 50
    note.write_bytes(saved)
    with pytest.raises(UserError, match=r"part-0001.*a missing or cut file"):
        opened(folder)


def test_nan_is_refused_and_the_part_does_not_count(folder, descriptors, groups):
    descriptors[4][3, 2] = np.nan
    with pytest.raises(UserError, match=r"descriptors of block 4.*NaN or infinity for image 3.jpg"):
        put(folder, 2, groups, descriptors, range(10))
    assert len(opened(folder)) == 50


def test_groups_come_back_as_they_were(folder, groups, descriptors):
    for group in groups:
        found = opened(folder).groups[group.name]
        assert (found.block, found.label) == (group.block, group.label)
        for use in ("normalization", "reading"):
            expected = getattr(group, use)(descriptors[group.block])
            assert (getattr(found, use)(descriptors[group.block]) == expected).all()


def test_another_version_nothing_there_and_a_damaged_note(folder, tmp_path):
    note = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(note | {"format": 99}))
    with pytest.raises(UserError, match=r"an index of format 1. Received: format 99. Another version"):
        opened(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(UserError, match=r"index.json` must be as it was written"):
        opened(folder)
    with pytest.raises(UserError, match=r"must be an index. Received: nothing there. Make it again."):
        opened(tmp_path / "none")


def test_what_was_opened_does_not_change_while_parts_are_added(folder, descriptors, groups):
    index = opened(folder)
    points = {"colour": descriptors[1][:1]}
    before = index.search("colour", points, 50).rows.tolist()
    put(folder, 2, groups, descriptors, range(5))
    assert index.search("colour", points, 50).rows.tolist() == before
    assert len(opened(folder)) == 55


def test_a_picture_is_found_by_all_its_groups_in_any_part(folder, descriptors, groups):
    index = opened(folder)
    # Row 3 with the pattern of row 40 is nobody's picture, however near it is by colour.
    asked = {1: descriptors[1][[3, 40, 3, 7]], 4: descriptors[4][[3, 40, 40, 7]] + [[0], [0], [0], [0.01]]}
    points = {each.name: each.normalization(asked[each.block]).astype("f4") for each in groups}
    assert index.copies(points) == [[3], [40], [], []]


def test_what_was_removed_is_not_found_by_any_search(folder, descriptors):
    index = opened(folder)
    points = {name: index.point(group, 7) for name, group in index.groups.items()}
    remove(index, [7, 31])
    left = opened(folder)
    assert len(left) == 48
    assert not left.has("7.jpg")
    for by in ("colour", "both"):
        found = left.search(by, points, 48)
        assert sorted(found.rows.tolist()) == [row for row in range(50) if row not in (7, 31)]
    with pytest.raises(UserError, match=r"in 1 to 48, the images of the index"):
        left.search("colour", points, 49)
    with pytest.raises(UserError, match=r"`id` must be the id of an image of the index, of which there are 48"):
        left.row("31.jpg")
    # Whoever opened it before is not disturbed.
    assert index.search("colour", points, 1).ids == ["7.jpg"]


def test_the_z_scores_are_those_of_the_living(folder, descriptors, groups):
    remove(opened(folder), list(range(10, 20)))
    index = opened(folder)
    points = {each.name: each.normalization(descriptors[each.block][3:4]) for each in groups}
    total, living = np.zeros(40), np.r_[0:10, 20:50]
    for group in groups:
        normalized = group.normalization(descriptors[group.block])[living]
        distances = np.linalg.norm(normalized - points[group.name], axis=1)
        total += (distances - distances.mean()) / distances.std()
    found = index.search("both", points, 40)
    assert found.rows.tolist() == living[np.argsort(total, kind="stable")].tolist()
    assert found.distances == pytest.approx(np.sort(total), abs=1e-3)


@pytest.mark.parametrize("by", ["colour", "both"])
def test_a_filtered_search_finds_the_nearest_of_those(folder, descriptors, groups, by):
    index = opened(folder)
    points = {each.name: each.normalization(descriptors[each.block][3:4]) for each in groups}
    among = np.random.default_rng(1).random(50) < 0.3
    everything = index.search(by, points, 50)
    found = index.search(by, points, int(among.sum()), among=among)
    expected = [row for row in everything.rows.tolist() if among[row]]
    assert found.rows.tolist() == expected
    with pytest.raises(UserError, match="the images that may be found"):
        index.search(by, points, int(among.sum()) + 1, among=among)


def test_an_update_takes_the_old_row_away_with_the_note_that_brings_the_new_one(folder, descriptors, groups):
    items = pd.DataFrame({"id": ["3.jpg"], "price": ["12"]})
    part = {block: matrix[[9]] for block, matrix in descriptors.items()}
    write_part(folder, 2, groups, part, items, [b"new"], removes=[(0, 3)])
    index = opened(folder)
    assert (len(index), index.row("3.jpg")) == (50, 50)
    assert index.thumbnail(50) == b"new"
    assert index.items["price"].tolist() == [""] * 50 + ["12"]


def test_compact_is_the_same_index_in_one_part(folder, descriptors, groups):
    put(folder, 2, groups, descriptors, [7])
    index = opened(folder)
    remove(index, [0, 31])
    before = opened(folder)
    points = {name: before.point(group, 20) for name, group in before.groups.items()}
    before.search("both", points, 1)
    compact(before)
    # The old files are still there, and count no longer; whoever has them open goes on.
    assert before.search("colour", points, 49).ids == opened(folder).search("colour", points, 49).ids
    sweep(folder)
    after = opened(folder)
    assert sorted({path.name[:9] for path in folder.glob("part-*")}) == ["part-0004"]
    assert (len(after), len(after.alive), len(after.parts)) == (49, 49, 1)
    for by in ("colour", "both"):
        one, other = before.search(by, points, 49), after.search(by, points, 49)
        assert one.ids == other.ids
        assert other.distances == pytest.approx(one.distances, abs=1e-6)
    rows = [after.row(name) for name in ("1.jpg", "32.jpg")]
    assert [after.thumbnail(row) for row in rows] == [b"jpeg", b"jpegjpeg"]
    assert compact(after) is None


def test_an_index_without_images_can_be_opened_and_made_compact(folder):
    remove(opened(folder), list(range(50)))
    assert len(opened(folder)) == 0
    compact(opened(folder))
    sweep(folder)
    index = opened(folder)
    assert (len(index), len(index.items)) == (0, 0)


def test_what_a_killed_writer_left_does_not_get_into_the_next_part(folder, descriptors, groups):
    (folder / "part-0002.colour.faiss").write_bytes(b"half a graph")
    put(folder, 2, groups, descriptors, [1])
    assert not (folder / "part-0002.colour.faiss").exists()
    assert len(opened(folder)) == 51
