import logging

import pytest

from fashionprobe.siamese.losses import TripletLoss
from fashionprobe.siamese.schedule import Schedule, Watch, diagnose, explain, margin_at


def test_the_margin_rises_along_half_a_cosine():
    margins = [margin_at(1.0, 3.0, epoch, 5) for epoch in range(5)]
    assert margins == pytest.approx([1, 1.292893, 2, 2.707107, 3])


def test_the_margin_never_exceeds_what_was_reached_nor_falls_below_its_start():
    assert margin_at(1.0, 1000.0, 4, 5, reached=7.5) == 7.5
    assert margin_at(1.0, 1000.0, 4, 5, reached=0.2) == 1.0
    assert margin_at(1.0, 3.0, 0, 1) == 1.0


def test_the_schedule_sets_margin_and_easy_start(tmp_path):
    loss = TripletLoss("batch_hard", margin=1.0)
    schedule = Schedule(loss, end=5.0, epochs=3, easy=1, history=tmp_path / "history.csv")
    schedule.on_epoch_begin(0)
    assert loss.margin == 1 and bool(loss._easy.numpy())
    logs = {"spread": 2.5}
    schedule.on_epoch_end(0, logs)
    assert logs["margin"] == 1
    schedule.on_epoch_begin(1)
    assert loss.margin == 2.5 and not bool(loss._easy.numpy())


def test_a_resumed_schedule_knows_what_was_reached(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,spread\n1,9.0\n2,1.5\n3,0.1\n")
    loss = TripletLoss("batch_hard", margin=1.0)
    Schedule(loss, end=100.0, epochs=4, easy=0, history=tmp_path / "history.csv").on_epoch_begin(2)
    assert loss.margin == 1.5


@pytest.mark.parametrize(
    ("spread", "active", "margin", "expected"),
    [(0.019, 1, 1, "collapsed"), (0.021, 1, 1, ""), (0.1, 1, 10, "collapsed"), (0.01, 1, 0, "collapsed"),
     (5, 0.0005, 1, "stalled"), (5, 0.01, 1, "")],
)  # fmt: skip
def test_diagnoses(spread, active, margin, expected):
    assert diagnose(spread, active, margin) == expected


def test_a_collapse_is_said_once_with_the_remedy(caplog):
    watch = Watch(TripletLoss("batch_hard"))
    with caplog.at_level(logging.WARNING):
        for epoch in range(3):
            watch.on_epoch_end(epoch, {"spread": 0.001, "active": 1.0})
    assert watch.found == {"collapsed": 1} and len(caplog.records) == 1
    assert "Epoch 1: the embedding has collapsed" in caplog.text
    assert "Try --mining semi_hard, --easy-epochs 5, a smaller --per-class" in caplog.text


def test_remedies_are_not_what_is_done_already():
    assert "semi_hard" not in explain("collapsed", 0.1, TripletLoss("semi_hard"))
    assert "larger --margin" in explain("stalled", 5, TripletLoss())
