"""Step 3-1, utility functions that belong to no single step."""


def parse_point(line: str) -> tuple[float, float] | None:
    """x and y; None if the line does not hold two numbers."""
    try:
        x, y = map(float, line.split())
    except ValueError:
        return None
    return x, y
