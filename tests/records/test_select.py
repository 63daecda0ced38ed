"""Which items are chosen, and how splits are drawn: counts worked by hand."""

import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.records.select import assign_splits, select, shuffled


def table(**counts):
    """Items of a column `colour` with this many of each class, in one block a class."""
    colours = [name for name, count in counts.items() for _ in range(count)]
    years = [str(2010 + row % 5) for row in range(len(colours))]
    return pd.DataFrame({"id": [f"i{row}" for row in range(len(colours))], "colour": colours, "year": years})


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("colour == 'red'", 6),
        ("colour != 'red' and year == '2011'", 1),
        ("colour in ['red', 'blue']", 10),
        ("colour.str.contains('e') & year >= '2013'", 4),
        ("year.isin(['2010', '2011'])", 4),
        ("id == 'i3'", 1),
    ],
)
def test_where(where, count):
    assert len(select(table(red=6, blue=4), where=where)) == count


def test_where_takes_a_reserved_name_in_backticks():
    items = table(red=2, blue=1).rename(columns={"colour": "class"})
    assert len(select(items, where="`class` == 'red'")) == 2
    with pytest.raises(UserError, match=r"Names that Python reserves stand in backticks: `class`"):
        select(items, where="class == 'red'")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("@pd.eval('1')", "without '@' and '__'. Received: \"@pd.eval('1')\"."),
        ("colour.__class__ == 1", "without '@' and '__'."),
        ("colour.to_csv('stolen.csv')", "with to_csv."),
        ("colour.str.cat(year) == 'x'", "with cat."),
        ("color == 'red'", "a pandas query over the columns id, colour, year. Received: \"color == 'red'\""),
        ("colour ==", "a pandas query over the columns"),
        ("colour > 2012", "a comparison of colour with text, as it does not hold numbers alone."),
        ("year == 1999", "a query that keeps an item. Received: 'year == 1999', which keeps none."),
        ("colour = 'red'", "a condition, true or false for each image."),
        ("colour", "a condition, true or false for each image. Received: 'colour'."),
        ("1", "a condition"),
        ("", "`where` must be"),
    ],
)
def test_a_wrong_where_is_refused(where, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        select(table(red=6, blue=4), where=where)
    assert str(caught.value).startswith("`where` must be") and message in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_classes_keep_the_order_of_the_catalogue_and_drop_missing_labels():
    items = table(red=2, blue=2, green=2)
    items.loc[1, "colour"] = ""
    chosen = select(items, label="colour", classes=["green", "red"])
    assert chosen["id"].tolist() == ["i0", "i4", "i5"]
    assert select(items, label="colour")["id"].tolist() == ["i0", "i2", "i3", "i4", "i5"]


def test_per_class_draws_at_most_so_many_of_each_class_by_the_seed():
    items = table(red=50, blue=3, green=20)
    drawn = select(items, label="colour", per_class=5)
    assert drawn["colour"].value_counts().to_dict() == {"red": 5, "blue": 3, "green": 5}
    assert drawn.index.is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn, select(items, label="colour", per_class=5))
    assert set(drawn["id"]) != set(select(items, label="colour", per_class=5, seed=1)["id"])
    # A smaller draw is part of a larger one.
    assert set(drawn["id"]) < set(select(items, label="colour", per_class=6)["id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "color"}, "`label` must be a label column: colour, year. Received: color. Did you mean 'colour'?"),
        ({"label": "id"}, "`label` must be a label column"),
        ({"classes": ["red"]}, "`label` is missing: `classes` needs one. Pass --label COLUMN."),
        ({"per_class": 3}, "`label` is missing: `per_class` needs one."),
        (
            {"label": "colour", "classes": ["Red"]},
            "`classes` must be a class of colour: blue, red. Received: Red. Did you mean 'red'?",
        ),
        ({"label": "colour", "per_class": 0}, "`per_class` must be an int in the range [1, inf). Received: 0."),
        ({"label": "colour", "classes": []}, "must be a choice that keeps an item. Received: one that keeps none."),
    ],
)
def test_a_wrong_choice_is_refused(options, message):
    with pytest.raises(UserError) as caught:
        select(table(red=6, blue=4), **options)
    assert message in str(caught.value)


def counts(split):
    return [int((split == name).sum()) for name in ("train", "val", "test")]


@pytest.mark.parametrize(
    ("total", "parts", "expected"),
    [
        (100, (80, 10, 10), [80, 10, 10]),
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (44, (36_000, 8_000, 0), [36, 8, 0]),
        (7, (1, 1, 1), [3, 2, 2]),
        (5, (0, 0, 1), [0, 0, 5]),
        (5, (0, 1, 0), [0, 5, 0]),
        (1, (80, 10, 10), [1, 0, 0]),
    ],
)
def test_split_counts_are_exact(total, parts, expected):
    assert counts(assign_splits(table(red=total), parts)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_each_class_gets_its_share(seed):
    items = table(red=100, blue=50, green=30, black=7)
    split = assign_splits(items, (80, 10, 10), label="colour", seed=seed)
    assert counts(split) == [149, 19, 19]
    for colour, group in split.groupby(items["colour"]):
        shares = [len(group) * part for part in (0.8, 0.1, 0.1)]
        # To within one item for test and val, and two for train, which takes the rest.
        for count, share, bound in zip(counts(group), shares, (2, 1.1, 1), strict=True):
            assert abs(count - share) <= bound, colour


def test_equal_classes_get_equal_splits():
    items = table(red=20, blue=20, green=20)
    split = assign_splits(items, (80, 10, 10), label="colour")
    assert [counts(group) for _, group in split.groupby(items["colour"])] == [[16, 2, 2]] * 3


def test_splits_are_drawn_by_the_seed_and_not_by_the_order_of_blocks():
    items = table(red=40, blue=40)
    first, same, other = (assign_splits(items, (1, 1, 0), label="colour", seed=seed) for seed in (0, 0, 1))
    assert first.equals(same) and not first.equals(other)
    assert first.index.equals(items.index)
    assert 0 < (first[:20] == "val").sum() < 20


@pytest.mark.parametrize("parts", [(80, 20), (1, 1, -1), (0, 0, 0), (1, float("inf"), 0), (1, float("nan"), 0)])
def test_wrong_parts_are_refused(parts):
    with pytest.raises(UserError, match=r"`split` must be three numbers >= 0, the parts of train, val and test"):
        assign_splits(table(red=4), parts)


def test_shuffled_is_fixed_by_the_seed():
    items = table(red=30)
    assert shuffled(items, 3)["id"].tolist() == shuffled(items, 3)["id"].tolist() != shuffled(items, 4)["id"].tolist()
    assert sorted(shuffled(items, 3)["id"]) == sorted(items["id"])


def test_copies_of_a_file_are_in_one_split():
    items = pd.DataFrame({"id": [str(number) for number in range(60)], "kind": ["a", "b"] * 30})
    contents = [str(number // 3) for number in range(60)]
    split = assign_splits(items, [2, 1, 1], label="kind", contents=contents, seed=3)
    assert split.groupby(contents).nunique().eq(1).all()
    # Items without a copy stay where they were drawn.
    alone = assign_splits(items, [2, 1, 1], label="kind", contents=[str(number) for number in range(60)], seed=3)
    pd.testing.assert_series_equal(alone, assign_splits(items, [2, 1, 1], label="kind", seed=3), check_names=False)
    assert set(split) == {"train", "val", "test"}


def test_a_column_that_is_compared_with_a_number_is_one():
    items = pd.DataFrame({"id": list("abcd"), "unit price": ["9", "19.9", "", "100"], "year": ["2012"] * 4})
    kept = select(items, where="`unit price` < 30 and year == '2012'")
    # Missing is not below 30, and the columns stay text.
    assert kept["id"].tolist() == ["a", "b"] and kept["unit price"].tolist() == ["9", "19.9"]
    assert select(items, where="`unit price` >= -1 and year > 2011")["id"].tolist() == ["a", "b", "d"]
    with pytest.raises(UserError, match=r"1 values such as 'n/a'\. Compare with text"):
        select(items.assign(year=["2012", "2013", "n/a", ""]), where="year > 2011")
