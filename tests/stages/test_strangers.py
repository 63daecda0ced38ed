"""People who bring their own data and programs, from the first command to the last, each command a process."""

import json
import subprocess
import sys

import pytest
from shop_photos import draw_shop


@pytest.mark.slow
def test_a_shop_searches_its_catalogue_and_follows_its_changes(tmp_path, model_path):
    def fashionprobe(*words):
        done = subprocess.run(
            [sys.executable, "-m", "fashionprobe", *map(str, words), "--json"], cwd=tmp_path, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    truth = draw_shop(tmp_path, 300, lacking=20).set_index("sku")
    new = draw_shop(tmp_path / "new", 5, lacking=0, seed=1).set_index("sku")
    fashionprobe("ingest", "--dataset", "shop", "--source", "table", "--path", "products.csv", "--id-column", "sku",
                 "--label-columns", "colour")  # fmt: skip
    fashionprobe("extract", "--dataset", "shop", "--backbone", model_path, "--size", 32)
    fashionprobe("index", "--run", "shop", "--groups", "colour=1:whiten")
    query = tmp_path / "new" / new["photo"].iloc[0]
    found = fashionprobe("search", "--run", "shop", "--image", query, "--by", "colour", "--where", "price < 30",
                         "--top", 10)["hits"]  # fmt: skip
    assert len(found) == 10
    assert all(float(hit["price"]) < 30 and hit["id"].startswith("SKU-0-") for hit in found)
    right = [truth.loc[hit["id"], "colour"] == new["colour"].iloc[0] for hit in found]
    assert sum(right) >= 8
    added = fashionprobe("index", "add", "--run", "shop", "--path", "new/products.csv", "--id-column", "sku")
    assert (added["added"], added["images"]) == (5, 305)
    gone = found[0]["id"]
    assert fashionprobe("index", "remove", "--run", "shop", "--ids", gone)["images"] == 304
    proposed = fashionprobe("fill", "--run", "shop", "--label", "colour")
    assert proposed["proposed"] + proposed["none"] == 20
    again = fashionprobe("search", "--run", "shop", "--image", query, "--by", "colour", "--top", 304)["hits"]
    ids = [hit["id"] for hit in again]
    # Its own picture is in the index now, and left out of its neighbours.
    assert gone not in ids
    assert new.index[0] not in ids
    assert {*new.index[1:]} <= {*ids}
