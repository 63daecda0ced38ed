import threading

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.verdicts import Verdict, add, fingerprint, latest, read, scores


def test_the_table_of_the_feedback_thesis():
    """Figure 7.4: the ranking calls 25 of 64 filters relevant, of which the expert finds 20, and 16 others."""
    ranking = np.arange(64) < 25
    expert = (np.arange(64) < 20) | (np.arange(64) >= 48)
    table = scores(expert, ranking).set_index("verdict")
    values = table[["precision", "recall", "f1"]].round(2)
    assert values.loc["irrelevant"].tolist() == [0.82, 0.59, 0.69]
    assert values.loc["relevant"].tolist() == [0.56, 0.80, 0.66]
    assert values.loc["mean"].tolist() == [0.72, 0.67, 0.67]
    assert table["filters"].tolist() == [39, 25, 64]
    assert table["said"].tolist() == [28, 36, 64]
    assert table["both"].tolist() == [23, 20, 43]


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    expert, ranking = random.integers(0, 2, (2, 30)).astype(bool)
    precision, recall, f1, support = precision_recall_fscore_support(ranking, expert)
    table = scores(expert, ranking)
    np.testing.assert_allclose(
        table[["precision", "recall", "f1", "filters"]].head(2).T, [precision, recall, f1, support]
    )
    weighted = precision_recall_fscore_support(ranking, expert, average="weighted")[:3]
    np.testing.assert_allclose(table.loc[2, ["precision", "recall", "f1"]].astype(float), weighted)


def test_an_expert_who_calls_all_relevant():
    table = scores(np.ones(4, bool), np.array([True, False, False, False])).set_index("verdict")
    assert table.loc["irrelevant", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]
    assert table.loc["relevant", ["precision", "recall", "f1"]].tolist() == [0.25, 1, 0.4]


def test_a_file_by_hand(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("\ufefffilter,relevant,note\n3,yes,the head\n0,No,\n3,no,\n", encoding="utf-8")
    found = read(path, 4)
    assert found[0] == Verdict(3, True, "the head")
    said = latest(found)
    assert {number: each.relevant for number, each in said.items()} == {0: False, 3: False}
    # Who said it and why does not change what it comes to.
    assert fingerprint(said) == fingerprint({3: Verdict(3, False, "x"), 0: Verdict(0, False)})
    assert fingerprint(said) != fingerprint({3: Verdict(3, True), 0: Verdict(0, False)})


def test_saved_at_once_and_nothing_is_lost(tmp_path):
    path = tmp_path / "run" / "verdicts" / "abc.csv"
    threads = [
        threading.Thread(
            target=add, args=(path, 20, Verdict(number, number % 2 == 0, 'a "note",\nof two lines', "kim"))
        )
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read(path, 20)
    assert sorted(each.filter for each in found) == list(range(20))
    assert all(each.relevant == (each.filter % 2 == 0) and each.note == 'a "note", of two lines' for each in found)
    assert found[0].author == "kim" and found[0].time.endswith("+00:00")
    add(path, 20, Verdict(4, False, author="ann"))
    said = latest(read(path, 20))
    assert (said[4].relevant, said[4].author, len(read(path, 20))) == (False, "ann", 21)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number,relevant\n1,yes\n", r"must be a CSV file with the columns filter and relevant .*no filter in line 2"),
        ("filter,relevant\n1\n", r"no relevant in line 2"),
        ("filter,relevant\n4,yes\n", r"must be about filters in the range \[0, 4\). Received: '4' in line 2"),
        ("filter,relevant\n-1,yes\n", r"Received: '-1' in line 2"),
        ("filter,relevant\n1,maybe\n", r"must be yes or no in the column relevant. Received: 'maybe' in line 2"),
        (b"\xff\xfe\x00", r"Received: an unreadable file"),
        (None, r"Received: nothing there"),
    ],
)
def test_a_file_that_is_not_verdicts(tmp_path, text, message):
    path = tmp_path / "v.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read(path, 4)


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match=r"`filter` must be in the range \[0, 4\). Received: 4"):
        add(tmp_path / "v.csv", 4, Verdict(4, True))
    with pytest.raises(UserError, match=r"`expert` must be bool \(filters,\) as `ranking`"):
        scores(np.ones(3, bool), np.ones(2, bool))
