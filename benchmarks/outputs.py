"""Compare what every command writes, byte by byte, between two checkouts: a new structure must not show in results.

Runs a small version of the README's commands and of the scripts that need no catalogue, offline, with the code that
Python finds first, and notes the SHA-256 of each CSV, npy and npz file and of each manifest without run times, versions
and paths. A second call compares:

    PYTHONPATH=old python benchmarks/outputs.py --work /tmp/old --note old.json
    PYTHONPATH=new python benchmarks/outputs.py --work /tmp/new --note new.json --against old.json
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SHIRT = "shirt.png"
COMMANDS = f"""
demo --overwrite
ingest --dataset garments --count 240 --size 112
extract --dataset garments --backbone mini --size 112
classify --run garments --label colour,pattern
choose --run garments --label colour
profile --run garments --label colour
pairs --run garments --label colour
reduce --run garments --label colour
classify --run garments --label colour --dimensions 2 8 --overwrite
wall --run garments --block 1 --label colour
retrieve --run garments --label colour
index --run garments --groups colour=1:whiten pattern=4
search --run garments --image {SHIRT} --by colour --top 36 --save
tag --run garments --image {SHIRT}
attribute add "tie dye" --group pattern --run garments --images {SHIRT} shoe.png
attribute list --run garments
index add --run garments --images {SHIRT}
index remove --run garments --where "colour == 'red'"
index status --run garments
index compact --run garments
report --run garments
train --dataset garments --run clothes --label garment --backbone mini --weights pretrained --epochs 2
see --run clothes --dataset garments --split val
see --run clothes --images {SHIRT} shoe.png --method all --samples 2 --overwrite
faithfulness --run clothes --dataset garments --split val --samples 8
activations --run clothes --images {SHIRT}
maximize --run clothes --block 3 --channels 0 1 --steps 20
selectivity --run clothes --dataset garments --label colour
converge --run clothes --dataset garments --other-weights random
report --run clothes
ingest --dataset symbols --source symbols --count 240 --split 120,40,80
train --dataset symbols --backbone symbol --weights random --bias false --epochs 3
masks --dataset symbols --source box --box 0.75 0 1 0.25 --samples 40
refit --run symbols --loss pasa --b 0.8 --th 2 --by marks --iterations 6
relevance --run symbols --after runs/symbols/refit/model.keras
report --run symbols
ingest --dataset digits --source symbols --count 300 --split 200,50,50
embed --dataset digits --size 28 --epochs 2 --steps 10
extract --dataset digits --run embedded --backbone runs/digits/embed/model.keras --block 5
index --run embedded --groups class=5
unseen --run digits --classes epsilon --epochs 1
tune --run digits --dimension 2,4 --trials 2 --folds 2 --epochs 1
pipelines/attributes_without_training.py --count 300
pipelines/what_it_looks_at.py --count 240
pipelines/correct_symbols.py --rivals continued,pas,head --seeds 1
"""
CODE = Path(str(find_spec("fashionprobe").origin)).parent.parent  # type: ignore[union-attr]
"""The checkout whose package Python finds first; its scripts are run, too."""
UNTIMED = ("run", "seconds", "versions", "device", "time", "created")
"""Parts of a manifest that differ from run to run: how and when it was made, not what."""


def main() -> int:
    """Run the commands, note what they wrote, and compare; 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--note", type=Path, required=True, help="where to note the hashes")
    parser.add_argument("--against", type=Path, help="hashes noted before")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    draw(options.work)
    codes = {}
    for line in filter(None, COMMANDS.splitlines()):
        start = time.perf_counter()
        words = shlex.split(line)
        script = words[0].endswith(".py")
        program = [str(CODE / words[0])] if script else ["-m", "fashionprobe", words[0]]
        folder = options.work / Path(words[0]).stem if script else options.work
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, *program, *words[1:]],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        codes[line] = done.returncode
        print(f"{time.perf_counter() - start:6.1f} s  exit {done.returncode}  {line}", flush=True)
        if done.returncode:
            print(done.stderr.strip()[-400:], flush=True)
    noted = {"codes": codes, "files": hashes(options.work)}
    options.note.write_text(json.dumps(noted, indent=1))
    return compare(noted, json.loads(options.against.read_text())) if options.against else 0


def draw(folder: Path) -> None:
    """Draw the two images that the commands ask about."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, colour in ((SHIRT, (200, 30, 40)), ("shoe.png", (20, 60, 180))):
        pixels = np.full((120, 100, 3), 255, np.uint8)
        pixels[20:100, 25:75] = colour
        pixels[40:80:8] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(folder / name)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of what each data file says, by its path below the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "manifest.json":
            found[name] = _sha256(json.dumps(timeless(json.loads(path.read_text())), sort_keys=True).encode())
        elif path.suffix in (".csv", ".npy", ".npz", ".tfrecord", ".json"):
            found[name] = _sha256(path.read_bytes())
    return found


def timeless(value: Any) -> Any:
    """Return a manifest without what differs from run to run; hashes of pictures and pages go, too."""
    if isinstance(value, dict):
        kept = {name: timeless(each) for name, each in value.items() if name not in UNTIMED}
        return {name: each for name, each in kept.items() if not name.endswith((".svg", ".png", ".html", ".keras"))}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def compare(new: dict[str, Any], old: dict[str, Any]) -> int:
    """Print each difference; 1 when there is one."""
    differ = 0
    for part in ("codes", "files"):
        for name in sorted({*new[part], *old[part]}):
            if new[part].get(name) != old[part].get(name):
                differ += 1
                print(f"differs: {name}")
    print(f"{len(new['codes'])} commands, {len(new['files'])} files compared, {differ} differ")
    return bool(differ)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
