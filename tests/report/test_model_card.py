from pathlib import Path

import pandas as pd
import pytest

from fashionprobe.report.model_card import model_card

FACTS = {
    "dataset": "shop", "label": "kind", "classes": ["a|b", "c", *"defg"],
    "images": {"train": 1200, "val": 40, "test": 0},
    "rare": {"d": 2, "e": 1}, "merged": False, "missing": 5, "backbone": "my_net.keras", "weights": "of the file",
    "size": (80, 60), "parameters": 1234567, "trained_parameters": 890, "epochs": 7, "best_epoch": 3, "loss": 0.5,
    "scores": {"val": {"images": 40, "top_1": 0.875, "low": 0.7389, "high": 0.9454, "top_5": 1.0, "macro_f1": 0.85}},
}  # fmt: skip
PER_CLASS = pd.DataFrame({
    "class": ["a|b", "c"], "images": [30, 10], "precision": [0.9, 0.8], "recall": [0.9, 0.8], "f1": [0.9, 0.8],
    "low": [0.7, 0.5], "high": [1.0, 0.9],
})  # fmt: skip
PAIRS = pd.DataFrame({"true": ["c"], "predicted": ["a|b"], "images": [2], "of": [10], "share": [0.2]})
ARGUMENTS = {"label": "kind", "block": [4, 5], "epochs": 7, "learning_rate": 0.001}


@pytest.fixture
def card():
    return model_card(FACTS, ARGUMENTS, PER_CLASS, PAIRS, path=Path("runs/x/train/model.keras"))


def test_the_card_says_what_a_reader_needs(card):
    for text in (
        "# Model card: kind of shop",
        "right for **87.5 %** (95 % interval 73.9 to 94.5 %)",
        'keras.saving.load_model("runs/x/train/model.keras")',
        "float32 (batch, 80, 60, 3) in [0, 255]",
        "| head | global average pooling of block 4, 5, one dense layer |",
        "| parameters | 1,234,567, of which 890 were trained |",
        "1,200 images for training, 40 for validation.",
        "2 rare classes (3 images) were left out.",
        "5 images have no such label and were left out.",
        "Epoch 3 of 7 was kept.",
        r"| learning\_rate | 0.001 |",
        "| val | 40 | 0.875 | 0.739 to 0.945 | 1.000 | 0.850 |",
        r"| a\|b | 30 | 0.90 | 0.90 | 0.90 |",
        r"| c | a\|b | 2 of 10 |",
    ):
        assert text in card


def test_what_is_not_there_is_not_spoken_of():
    facts = {**FACTS, "rare": {}, "missing": 0}
    card = model_card(facts, ARGUMENTS, PER_CLASS, PAIRS.iloc[:0], path=Path("m.keras"))
    for text in ("rare classes", "no such label", "Most often confused", "Worst classes", "for the test"):
        assert text not in card


def test_many_classes_show_their_ends_and_those_without_images_are_left_out():
    names = [f"k{number:02}" for number in range(25)]
    scores = [number / 25 for number in range(25)]
    table = pd.DataFrame({"class": names, "images": 4, "precision": scores, "recall": scores, "f1": scores})
    table.loc[24, "images"] = 0
    card = model_card(FACTS, ARGUMENTS, table, PAIRS, path=Path("m.keras"))
    best, worst = card.split("### Worst classes")
    assert "k23" in best and "k14" in best and "k13" not in best
    assert "k09" in worst and "k00" in worst and "k24" not in card


def test_the_first_five_of_five_classes_are_not_spoken_of():
    scores = {"val": {**FACTS["scores"]["val"], "top_5": None}}
    card = model_card({**FACTS, "scores": scores}, ARGUMENTS, PER_CLASS, PAIRS, path=Path("m.keras"))
    assert "95 % interval 73.9 to 94.5 %).\n\n## Use" in card
    assert "first five" not in card and "top-5" not in card
    assert "| split | images | top-1 | 95 % interval | mean F1 of the classes |\n|---|---|---|---|---|\n" in card
    assert "| val | 40 | 0.875 | 0.739 to 0.945 | 0.850 |" in card
