"""Step 3-1, utility functions that belong to no single step."""


def parse_names(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def default_embedding_size(num_categories: int) -> int:
    """From 2 to 50; it grows slowly with the number of categories, as in fastai's models."""
    size: float = 1.6 * num_categories**0.56
    return min(50, max(2, round(size)))
