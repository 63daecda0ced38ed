from dataclasses import replace

import pytest

from fashionprobe.errors import UserError
from fashionprobe.report.headline import headline, run_names

LEVEL = "Level means that the ranges, mean ± standard deviation over the folds, overlap."


def test_one_label_with_a_clear_best_block(section):
    assert headline([section([0.65, 0.54, 0.57])]) == ["colour is best read at block 1 (0.65 ± 0.02, 4-NN)."]


def test_two_labels_stand_in_one_sentence(section):
    sections = [section([0.85, 0.54]), section([0.59, 0.76], std=0.01, label="pattern")]
    assert headline(sections) == [
        "colour is best read at block 1 (0.85 ± 0.02, 4-NN), pattern at block 2 (0.76 ± 0.01, 4-NN)."
    ]


def test_level_blocks_are_named_and_the_word_explained(section):
    assert headline([section([0.61, 0.62, 0.755, 0.753], std=0.01)])[1:] == [
        "For colour, blocks 3 and 4 are level.",
        LEVEL,
    ]


def test_three_level_blocks_are_a_list(section):
    assert headline([section([0.9, 0.89, 0.88, 0.6])])[1] == "For colour, blocks 1, 2 and 3 are level."


@pytest.mark.parametrize(("blocks", "count"), [(2, "both"), (5, "all 5")])
def test_when_all_blocks_are_level_none_stands_out(section, blocks, count):
    assert headline([section([0.7] * blocks)])[1] == f"For colour, {count} blocks are level: none stands out."


def test_ranges_that_just_touch_are_level(section):
    assert section([0.75, 0.5], std=0.125).level_blocks() == [1, 2]
    assert section([0.75, 0.5], std=0.12).level_blocks() == [1]


def test_one_fold_has_no_deviation_and_only_equal_blocks_are_level(section):
    assert headline([section([0.7, 0.69, 0.7], std=float("nan"))])[:2] == [
        "colour is best read at block 1 (0.70, 4-NN).",
        "For colour, blocks 1 and 3 are level.",
    ]


def test_two_runs_of_one_label_name_the_better_run(section):
    sections = [section([0.57, 0.54], std=0.01, run="random"), section([0.59, 0.76], std=0.01)]
    assert headline(sections) == [
        "colour is best read at block 2 of run imagenet (0.76 ± 0.01, 4-NN).",
        "For colour, run random reaches 0.57 ± 0.01 (block 1, 4-NN), 0.19 less than run imagenet.",
    ]


def test_two_level_runs_are_said_to_be_level(section):
    sections = [section([0.75, 0.6]), section([0.73, 0.6], run="random")]
    assert headline(sections)[1:] == [
        "For colour, run random is level with run imagenet: 0.73 ± 0.02 (block 1, 4-NN).",
        LEVEL,
    ]


def test_level_blocks_name_their_run_when_there_are_two(section):
    sections = [section([0.9, 0.6]), section([0.7, 0.7], run="random")]
    assert "For colour in run random, both blocks are level: none stands out." in headline(sections)


def test_a_guess_is_called_a_guess(section):
    assert headline([section([0.51, 0.4])])[1] == (
        "For colour, 0.51 ± 0.02 is not clearly better than always naming the largest class (0.50)."
    )


def test_a_higher_value_than_the_best_one_is_not_hidden(section):
    beaten = section([0.65, 0.54], best_parameter="1")
    assert headline([beaten])[0] == "colour is best read at block 1 (0.55 ± 0.02, 1-NN)."
    assert "For colour, the highest value of all is 0.65 ± 0.02 (4-NN, block 1)." in headline([beaten])


def test_runs_of_one_name_are_told_apart(section):
    same = [section([0.6]), section([0.6], dataset="dresses"), section([0.6], dataset="dresses")]
    assert run_names(same) == ["imagenet (shirts)", "imagenet (dresses) #2", "imagenet (dresses) #3"]


def test_a_best_block_that_is_not_in_the_table_is_refused(section):
    with pytest.raises(UserError, match=r"`block` must be one of: 1, 2. Received: 7."):
        headline([section([0.6, 0.5], best_block=7)])


def test_two_readers_are_named_the_better_one_first(probed):
    found = headline([probed([0.59, 0.7, 0.55], [0.6, 0.7, 0.86]), probed([0.97, 0.6], [0.9, 0.7], label="pattern")])
    assert found[0] == (
        "colour is best read at block 3 by a linear probe (0.86 ± 0.02) and at block 2 by 4-NN (0.70 ± 0.02), "
        "pattern at block 1 by 4-NN (0.97 ± 0.02) and at block 1 by a linear probe (0.90 ± 0.02)."
    )


def test_level_blocks_say_by_which_reader(probed):
    assert "For colour by a linear probe, blocks 2 and 3 are level." in headline([probed([0.6, 0.6, 0.6],
                                                                                      [0.7, 0.86, 0.85])])  # fmt: skip


def test_readers_that_disagree_on_depth_are_named(probed):
    # Chance is 0.5: 4-NN keeps 0.1 of 0.4, a quarter; the probe keeps 0.3 of 0.4.
    found = headline([probed([0.9, 0.7, 0.6], [0.8, 0.9, 0.8])])
    assert (
        "For colour, the readers disagree on depth: by 4-NN it fades from 0.90 at block 1 to 0.60 at block 3, 25 % of "
        "what is above chance; by a linear probe it goes from 0.90 at block 2 to 0.80 at block 3, 75 % of what is "
        "above chance." in found
    )
    turned = headline([probed([0.8, 0.9, 0.8], [0.95, 0.7, 0.6])])
    assert any(": by a linear probe it fades from 0.95 at block 1 to 0.60" in remark for remark in turned)


@pytest.mark.parametrize(
    ("means", "linear"),
    [([0.9, 0.6], [0.95, 0.6]), ([0.6, 0.9], [0.6, 0.95]), ([0.5, 0.4], [0.9, 0.9]), ([0.9, 0.7], [0.9, 0.7])],
)
def test_readers_that_agree_on_depth_are_not_mentioned(probed, means, linear):
    assert not any("disagree" in remark for remark in headline([probed(means, linear)]))


def test_one_reader_cannot_disagree(section):
    assert not any("disagree" in remark for remark in headline([section([0.9, 0.6])]))


def test_the_selectivity_of_the_probe_is_told(probed):
    assert (
        "For colour, the linear probe at block 2 reaches 0.50 ± 0.03 with shuffled labels: its selectivity is 0.36."
        in headline([probed([0.6, 0.6], [0.7, 0.86])])
    )


@pytest.mark.parametrize(
    ("untrained", "verdict"),
    [
        (0.9, "reaches 0.90 ± 0.02 at block 1 by a linear probe, level with the trained one: what the probe finds need "
         "not come from training."),
        (0.6, "reaches 0.60 ± 0.02 at block 1 by a linear probe, 0.26 less than the trained one."),
    ],
)  # fmt: skip
def test_random_weights_are_compared_with_the_trained_network(probed, untrained, verdict):
    control = probed([0.5, 0.5], [untrained, 0.55]).accuracy
    section = replace(probed([0.6, 0.6], [0.7, 0.86]), control=control)
    found = headline([section])
    assert f"For colour, the same network with random weights {verdict}" in found
    assert (found[-1] == LEVEL) == ("level with" in verdict)


def test_the_run_that_the_page_is_about_leads_and_a_better_one_is_told(section):
    mine, other = section([0.5, 0.6], run="mine", subject=True), section([0.7, 0.9], run="other")
    lead, *remarks = headline([mine, other])
    assert lead.startswith("colour is best read at block 2 of run mine (0.60")
    assert remarks[0] == "For colour, run other reaches 0.90 ± 0.02 (block 2, 4-NN), 0.30 more than run mine."
    lead, *remarks = headline([other, section([0.5, 0.6], run="mine")])
    assert lead.startswith("colour is best read at block 2 of run other") and "0.30 less than run other" in remarks[0]
