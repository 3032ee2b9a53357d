"""Files of whole images and of their tiles, for tests: every tile lists what it shows whole."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyscope.tiling.cut import grid_windows

Rows = Sequence[tuple[int, int, int, int, int]]  # x1 y1 x2 y2 and a gray value


def write_files(
    folder: Path,
    scenes: Mapping[str, Rows],
    size: tuple[int, int] = (90, 130),
    tile: tuple[int, int] = (40, 50),
    overlap: int = 12,
    *,
    first: int = 0,
) -> tuple[Path, Path]:
    """Writes whole.json and tiles.json; even values are of category 30, odd ones of 31."""
    height, width = size
    categories = [{"id": 31, "name": "odd"}, {"id": 30, "name": "even"}]
    images, objects, tiles, parts = [], [], [], []
    for number, (name, rows) in enumerate(scenes.items()):
        images.append(
            {"id": first + 7 * number, "file_name": name, "width": width, "height": height}
        )
        objects += [_object(len(objects) + i, images[-1]["id"], row) for i, row in enumerate(rows)]
        for x1, y1, x2, y2 in grid_windows(size, tile, overlap).tolist():
            corner = {"corner": [x1, y1, x2, y2], "width": x2 - x1, "height": y2 - y1}
            tiles.append({"id": len(tiles), "file_name": name, **corner})
            for left, top, right, bottom, value in rows:
                if x1 <= left and right <= x2 and y1 <= top and bottom <= y2:
                    row = (left - x1, top - y1, right - x1, bottom - y1, value)
                    parts.append(_object(len(parts), tiles[-1]["id"], row))
    whole = {"images": images, "annotations": objects, "categories": categories}
    cut = {"images": tiles, "annotations": parts, "categories": categories, "old_images": images}
    (folder / "whole.json").write_text(json.dumps(whole))
    (folder / "tiles.json").write_text(json.dumps(cut))
    return folder / "whole.json", folder / "tiles.json"


def detections_of(tiles: Path, score: float = 0.9) -> list[dict[str, Any]]:
    """What a faultless detector finds in tiles, those of later ones with lower scores."""
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": row["bbox"],
            "score": score - 0.001 * row["image_id"],
        }
        for row in json.loads(tiles.read_text())["annotations"]
    ]


def edit(path: Path, change: Any) -> Path:
    """Changes the content of a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def _object(number: int, image: int, row: tuple[int, int, int, int, int]) -> dict[str, Any]:
    x1, y1, x2, y2, value = row
    return {
        "id": number,
        "image_id": image,
        "category_id": 30 + value % 2,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
    }
