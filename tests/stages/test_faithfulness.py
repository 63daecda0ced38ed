import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import faithfulness


def of(trained, tmp_path, **arguments):
    return faithfulness(
        dataset="g", run="f", backbone=str(trained / "runs/g/train/model.keras"),
        tfrecords_root=str(trained / "tfrecords"), runs_root=str(tmp_path), **arguments,
    )  # fmt: skip


def test_curves_and_randomisation_beside_noise(trained, tmp_path):
    arguments = {"samples": 3, "curve_steps": 4, "randomization": 1, "method": "grad_cam,gradient"}
    made = of(trained, tmp_path, **arguments)
    table = pd.read_csv(made.path / "faithfulness.csv")
    assert list(table["method"]) == ["grad_cam", "gradient", "random"]
    assert table[["deletion", "insertion"]].to_numpy().min() >= 0
    assert made.best in ("grad_cam", "gradient")
    per_image = pd.read_csv(made.path / "per_image.csv")
    assert len(per_image) == 3 * 3 * 2
    means = per_image[per_image["curve"] == "deletion"].groupby("method")["area"].mean()
    assert means["gradient"] == pytest.approx(table.set_index("method")["deletion"]["gradient"], abs=1e-5)
    checked = pd.read_csv(made.path / "randomization.csv")
    assert set(checked["method"]) == {"Grad-CAM", "gradient"} and (checked["images"] == 1).all()
    for name in ("deletion_insertion", "randomization"):
        assert (made.path / f"{name}.svg").is_file() and (made.path / f"{name}.png").is_file()
    assert of(trained, tmp_path, **arguments).reused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "grad"}, "`method` must be one of"),
        ({"curve_steps": 0}, "`curve_steps` must be an int in the range"),
        ({"randomization": -1}, "`randomization` must be an int in the range"),
        ({"layer": "nowhere"}, "`layer` must be a layer"),
    ],
)
def test_bad_input(trained, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        of(trained, tmp_path, **arguments)
    assert not (tmp_path / "f/faithfulness").exists()
