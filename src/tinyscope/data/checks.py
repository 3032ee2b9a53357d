"""Checks of options that several parts share."""


def check_share(name: str, value: float) -> None:
    """Refuses a share or probability that is not one.

    Raises:
        ValueError: `value` is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")


def check_range(name: str, value: tuple[float, float], least: float = 0.0) -> None:
    """Refuses a range (smallest, largest) that is reversed or starts below `least`.

    Raises:
        ValueError: It is.
    """
    if not least <= value[0] <= value[1]:
        raise ValueError(
            f"{name} must be (smallest, largest) with smallest at least {least:g}, got {value}"
        )
