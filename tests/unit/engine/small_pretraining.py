"""A set of tiny labeled images and a recipe of pre-training that takes seconds."""

import json
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tinyscope.engine.pretrain import pretrain
from tinyscope.pretraining import PretrainRecipe, pretraining_from

NAMES = ("blue", "green", "red")


def recipe(norm: str = "batch", **train: object) -> PretrainRecipe:
    backbone = {"name": "bottom_heavy", "block": "basic", "blocks": [1, 1], "width": 8}
    if norm == "group":
        backbone |= {"norm": "group", "groups": 4}
    return pretraining_from(
        {
            "source": "test",
            "expected": {},
            "model": {"name": "classifier", "backbone": backbone},
            "data": {
                "side": 16,
                "transforms": [{"name": "crop", "side": 16, "padding": 2}, {"name": "flip"}],
                "batch": 8,
                "workers": 1,
            },
            "train": {
                "steps": 16,
                "learning_rate": 0.05,
                "warmup_steps": 2,
                "precision": "32",
                "evaluate_every": 5,
                "checkpoint_every": 3,
                **train,
            },
        }
    )


def write_images(place: Path, side: int = 16, names: tuple[str, ...] = NAMES) -> Path:
    """A zip archive of noise in which one channel is brighter; which, is the class."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(place, "w") as archive:
        for split, count in (("train", 12), ("test", 5)):
            for channel, name in enumerate(names):
                for i in range(count):
                    pixels = random.integers(0, 150, (side, side, 3), dtype=np.uint8)
                    pixels[..., 2 - channel % 3] += 100
                    content = BytesIO()
                    Image.fromarray(pixels).save(content, "png")
                    archive.writestr(f"{split}/{name}/{i}.png", content.getvalue())
    return place


def run(data: str, out: str, resume: bool = False, **changes: object) -> None:
    torch.set_num_threads(1)
    pretrain(recipe(**changes), data, out, resume)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
