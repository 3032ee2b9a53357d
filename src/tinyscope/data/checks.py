"""Checks of options that several parts share."""

from tinyscope.types import Size


def check_share(name: str, value: float) -> None:
    """Refuses a share or probability that is not one.

    Raises:
        ValueError: `value` is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")


def sides_of(size: int | tuple[int, int]) -> Size:
    """(height, width) of a window whose size is given as its one side or as both.

    Raises:
        ValueError: A side is below 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size must be a positive number of pixels, or two of them, got {size}")
    return height, width


def check_range(name: str, value: tuple[float, float], least: float = 0.0) -> None:
    """Refuses a range (smallest, largest) that is reversed or starts below `least`.

    Raises:
        ValueError: It is.
    """
    if not least <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (smallest, largest) with smallest at least {least:g}, got {value}"
        )
