"""Films for tests of several folders."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor


@pytest.fixture
def film() -> Callable[..., Path]:
    """Writes video files; a test that needs it is skipped where PyAV is not installed."""
    pytest.importorskip("av")
    return _film


def _film(
    path: Path,
    images: Sequence[Tensor],
    codec: str = "ffv1",
    seconds: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    turn: int = 0,
) -> Path:
    """A video of images (3, h, w) uint8; ffv1 keeps their values, in a container that holds it."""
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = images[0].shape[-2:]
        stream.pix_fmt = {"ffv1": "bgr0", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(turn)
        for number, image in enumerate(images):
            array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            shown = number / 10 if seconds is None else seconds[number]
            frame.pts, frame.time_base = round(shown * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
