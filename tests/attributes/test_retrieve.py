import numpy as np
import pytest

from fashionprobe.attributes import retrieve
from fashionprobe.attributes.retrieve import QueryResults, Setting
from fashionprobe.errors import UserError

# Six images on a line; 1 and 2 are one picture under two ids.
LINE = np.array([[0], [1], [1], [2.5], [5], [6]], np.float32)
SAME = np.array([0, 1, 1, 3, 4, 5])
CLASSES = np.array(["a", "a", "b", "b", "b", "a"])


def every(top=2, **changes):
    return Setting(queries=99, top=top, **changes)


def test_an_image_finds_neither_itself_nor_its_copies():
    found = retrieve.find(LINE, np.arange(6), same=SAME, setting=every())
    np.testing.assert_array_equal(found.rows, [[1, 2], [0, 3], [0, 3], [1, 2], [5, 3], [4, 3]])
    np.testing.assert_allclose(found.distances[3], [1.5, 1.5])


def test_precision_worked_by_hand():
    found = retrieve.find(LINE, np.arange(6), same=SAME, setting=every())
    np.testing.assert_array_equal(found.shares(CLASSES), [0.5, 0.5, 0.5, 0.5, 0.5, 0])
    # Two labels: equal only where both are.
    both = np.stack([CLASSES, ["x", "x", "x", "x", "y", "y"]], axis=1)
    np.testing.assert_array_equal(found.shares(both), [0.5, 0.5, 0.5, 0.5, 0, 0])


def test_chance_is_the_share_of_the_class_among_those_that_can_be_found():
    level = retrieve.chance(CLASSES, np.arange(6), SAME)
    # Row 1: of the 4 that are no copies of it, 0 and 5 are "a"; row 0: of 5 others, 1 and 5.
    np.testing.assert_allclose(level, [2 / 5, 2 / 4, 2 / 4, 2 / 5, 2 / 5, 2 / 5])
    # With 0 and 1 one picture, and 2 and 3: of the four others one has the class.
    level = retrieve.chance(CLASSES, np.arange(4), np.array([0, 0, 2, 2, 4, 5]))
    np.testing.assert_allclose(level, 1 / 4)


def test_chance_is_what_noise_gets():
    random = np.random.default_rng(0)
    classes = random.choice(["a", "b", "c"], 400, p=[0.6, 0.3, 0.1])
    noise = random.random((400, 8), dtype=np.float32)
    queries = np.arange(400)
    found = retrieve.find(noise, queries, same=queries, setting=every(20))
    assert found.shares(classes).mean() == pytest.approx(retrieve.chance(classes, queries, queries).mean(), abs=0.02)


def test_queries_are_drawn_once_each_and_with_the_seed():
    drawn = retrieve.draw(100, 30, seed=1)
    assert len(set(drawn)) == 30
    assert list(drawn) == sorted(drawn)
    np.testing.assert_array_equal(drawn, retrieve.draw(100, 30, seed=1))
    assert list(drawn) != list(retrieve.draw(100, 30, seed=2))
    np.testing.assert_array_equal(retrieve.draw(5, 30, seed=1), range(5))


def test_interval():
    mean, low, high = retrieve.mean_interval(np.array([0.2, 0.4, 0.6, 0.8]))
    half = 1.959964 * np.sqrt(0.2 / 3) / 2
    np.testing.assert_allclose([mean, low, high], [0.5, 0.5 - half, 0.5 + half])
    assert retrieve.mean_interval(np.array([0.0, 1.0])) == (0.5, 0, 1)
    # One query says nothing about others.
    assert retrieve.mean_interval(np.array([0.3])) == (0.3, 0, 1)


def test_interval_holds_the_truth_19_times_of_20():
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        _, low, high = retrieve.mean_interval(random.binomial(10, 0.3, 200) / 10)
        inside += low <= 0.3 <= high
    assert 370 <= inside <= 390


def test_normalization_and_metric_are_used():
    rays, same = np.array([[1, 1], [9, 9], [1, 0.5], [9, 4]], np.float32), np.arange(4)
    plain = retrieve.find(rays, same, same=same, setting=every(1))
    np.testing.assert_array_equal(plain.rows[:, 0], [2, 3, 0, 1])
    unit = retrieve.find(rays, same, same=same, normalization="l2", setting=every(1))
    np.testing.assert_array_equal(unit.rows[:, 0], [1, 0, 3, 2])
    turned = retrieve.find(rays, same, same=same, setting=every(1, metric="cosine"))
    np.testing.assert_array_equal(turned.rows[:, 0], [1, 0, 3, 2])


def test_two_descriptors_find_what_neither_finds_alone(monkeypatch):
    monkeypatch.setattr(retrieve, "CHUNK", 7)
    random = np.random.default_rng(0)
    colour, weave = np.repeat([0, 1], 20), np.tile([0, 1], 20)
    knows = {
        "colour": (100 * colour + random.normal(0, 1, 40))[:, None].astype(np.float32),
        "weave": (0.01 * weave + random.normal(0, 0.0001, 40))[:, None].astype(np.float32),
    }
    table = retrieve.by_descriptor(
        knows,
        {"colour": colour.astype(str), "weave": weave.astype(str)},
        same=np.arange(40),
        normalizations=["none", "none"],
        setting=every(9),
    ).set_index(["by", "scored"])
    precision = table["precision_mean"]
    assert precision["colour", "colour"] == precision["weave", "weave"] == 1
    assert precision["both", "both"] == precision["both", "colour"] == precision["both", "weave"] == 1
    assert max(precision["colour", "both"], precision["weave", "both"]) < 0.7
    assert table["chance"]["both", "both"] == pytest.approx(9 / 39)


def test_two_descriptors_leave_copies_out():
    found = retrieve.find_by_all(
        [LINE, LINE], np.arange(6), same=SAME, normalizations=["none", "l2"], setting=every(4)
    )  # fmt: skip
    assert all(SAME[row] not in SAME[others] for row, others in enumerate(found.rows))
    assert np.isfinite(found.distances).all()


def test_table_of_blocks():
    random = np.random.default_rng(0)
    classes = np.repeat(["red", "blue"], 15)
    blocks = {
        2: random.random((40, 3), dtype=np.float32),
        7: np.r_[np.zeros(10), np.repeat([0, 9], 15)][:, None].astype(np.float32)
        + random.random((40, 1), dtype=np.float32),
    }
    calls = []
    table, of_classes, found = retrieve.by_block(
        blocks, classes, np.arange(10, 40), same=np.arange(30), normalizations=["none", "l2"],
        setting=Setting(queries=12, top=5), report=lambda: calls.append(1),
    )  # fmt: skip
    assert list(zip(table["block"], table["normalization"], strict=True)) == [
        (2, "none"), (2, "l2"), (7, "none"), (7, "l2"),
    ]  # fmt: skip
    assert len(calls) == len(found) == 4
    assert table["precision_mean"][2] == 1 > table["precision_mean"][0]
    assert set(table["queries"]) == {12}
    np.testing.assert_allclose(table["chance"], 14 / 29)
    first = of_classes[(of_classes["block"] == 2) & (of_classes["normalization"] == "none")]
    assert list(first["class"]) == ["blue", "red"]
    assert (first["precision_mean"] * first["queries"]).sum() / 12 == pytest.approx(table["precision_mean"][0])


def test_best_and_worst_queries_one_a_class_first():
    found = QueryResults(np.array([0, 1, 2, 3]), np.array([[4], [4], [5], [4]]), np.array([[3.0], [2], [1], [5]]))
    classes = np.array(["a", "a", "b", "c", "a", "b"])
    best, worst = retrieve.best_and_worst(found, classes, 3)
    # Right: 2 ("b", nearest), 1 and 0 (both "a"; 1 is nearer); wrong: 3, of "c".
    assert list(best) == [2, 1, 3]
    assert list(worst) == [3, 2, 1]
    assert list(retrieve.best_and_worst(found, classes, 9)[0]) == [2, 1, 3, 0]


def test_too_many_results():
    with pytest.raises(UserError, match=r"`top` must be in 1 to 4, the number of other images .* Received: 5"):
        retrieve.find(LINE, np.arange(6), same=SAME, setting=every(5))
    with pytest.raises(UserError, match=r"`top` must be in 1 to 4"):
        retrieve.find_by_all([LINE], np.arange(6), same=SAME, normalizations=["none"], setting=every(5))
