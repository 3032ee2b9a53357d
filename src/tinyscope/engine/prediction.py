"""What came of looking through files, in words."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Prediction:
    """What came of it: written to `folder`, how much was found, which files could not be read.

    `counts` of objects found and missed and false detections, where there was truth; of those
    that pictures show. `without_truth` counts detections by class whose class the truth lacks.
    `frames` of `videos` took `seconds` in all, reading and painting included; `notes` say what
    was unusual about them.
    """

    folder: Path
    images: int = 0
    detections: int = 0
    failed: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    without_truth: dict[str, int] = field(default_factory=dict)
    videos: int = 0
    frames: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        looked = [f"{self.images} images"] if self.images or not self.videos else []
        if self.videos:
            looked.append(f"{self.frames} frames of {self.videos} videos")
        lines = [f"{', '.join(looked)}, {self.detections} detections -> {self.folder}"]
        if self.frames:
            lines.append(f"{self.frames / self.seconds:.3g} frames per second")
        if self.counts:
            lines.append(", ".join(f"{count} {name}" for name, count in self.counts.items()))
        if self.without_truth:
            shown = ", ".join(f"{count} {name}" for name, count in self.without_truth.items())
            lines.append(f"in detections.csv alone, as the truth has no such class: {shown}")
        lines += self.notes
        if self.failed:
            lines.append(f"{len(self.failed)} files could not be read, or not all of them:")
            lines += [f"  {message}" for message in self.failed]
        return "\n".join(lines)
