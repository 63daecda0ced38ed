from fashionprobe.text_tables import aligned, by_block

CSV = """label,block,way,accuracy,std
colour,1,a,0.5,0.1
colour,1,b,0.75,0.2
colour,10,a,0.5,0.3
colour,10,b,0.5,0.4
"one, two",1,a,0.25,0
"""


def test_a_row_for_each_block_a_column_for_each_label(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    assert by_block(path, "accuracy", spread="std") == [
        "block  colour         one, two",
        "1      0.750 ± 0.200  0.250 ± 0.000",
        "10     0.500 ± 0.300",  # of equals the first
    ]
    assert by_block(path, "accuracy", lowest=True)[1].split() == ["1", "0.500", "0.250"]
    assert by_block(path, "accuracy", only={"way": "b"}) == ["block  colour", "1      0.750", "10     0.500"]


def test_many_labels_stand_below_each_other(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("label,block,x\n" + "".join(f"label{number},1,0.{number}\n" for number in range(6)))
    lines = by_block(path, "x")
    assert [line.split()[0] for line in lines] == ["block", "1", "block", "1"]
    assert lines[2].split() == ["block", "label4", "label5"]


def test_cells_stand_below_each_other():
    assert aligned([["a", "bb"], ["ccc", ""], ["", "d"]]) == ["a    bb", "ccc", "     d"]
