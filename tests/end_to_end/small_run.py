"""A data set and a recipe small enough to train in seconds, with all that a real run has."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tinyscope.engine.train import train
from tinyscope.settings import Recipe, recipe_from

RECIPE = {
    "source": "test",
    "expected": {},
    "model": {
        "name": "dense",
        "backbone": {"name": "resnet", "depth": 18, "width": 8, "strides": [4, 8]},
        "neck": {"name": "fpn", "channels": 16},
        "head": {"name": "retina", "depth": 1},
        "priors": {"name": "anchors", "scale": 2},
        "assigner": {"name": "max_iou"},
        "sampler": {"name": "random", "count": 64},
        "coder": {"name": "delta"},
    },
    "data": {
        "windows": {"name": "random", "size": 64},
        "transforms": [{"name": "flip"}, {"name": "photometric"}],
        "batch": 4,
        "workers": 2,
    },
    "train": {
        "steps": 24,
        "learning_rate": 0.02,
        "warmup_steps": 5,
        "clip_norm": 10.0,
        "ema": 0.9,
        "evaluate_every": 7,
        "checkpoint_every": 2,
    },
}


def small_recipe(**train: object) -> Recipe:
    norm, head = train.pop("norm", "batch"), train.pop("head", "retina")
    values = json.loads(json.dumps(RECIPE))
    values["train"] |= train
    if head == "fcos":
        values["model"] |= {
            "head": {"name": "fcos", "depth": 1, "quality": "center"},
            "priors": {"name": "points"},
            "assigner": {"name": "center"},
            "coder": {"name": "distance"},
        }
    if norm == "group":
        values["model"]["backbone"] |= {"norm": "group", "groups": 4}
        values["model"]["sampler"] = {"name": "all"}
    return recipe_from(values)


def write_data(folder: Path, images: int = 10) -> Path:
    """Bright squares of 3 to 12 pixels on noise, in COCO layout."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        entries, rows = [], []
        for i in range(images):
            height, width = (int(n) for n in random.integers(60, 100, 2))
            pixels = random.integers(0, 100, (height, width, 3), dtype=np.uint8)
            for _ in range(int(random.integers(0, 5))):
                side = int(random.integers(3, 13))
                x, y = (int(random.integers(0, n - side)) for n in (width, height))
                pixels[y : y + side, x : x + side] = 220
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "image_id": i,
                        "category_id": 1,
                        "bbox": [x, y, side, side],
                        "area": side * side,
                        "iscrowd": 0,
                    }
                )
            Image.fromarray(pixels).save(folder / split / f"{i}.png")
            entries.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
        truth = {
            "images": entries,
            "annotations": rows,
            "categories": [{"id": 1, "name": "square"}],
        }
        (folder / f"{split}.json").write_text(json.dumps(truth))
    return folder


def run(data: str, out: str, resume: bool = False, **changes: object) -> None:
    torch.set_num_threads(1)
    train(small_recipe(**changes), data, out, resume)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
