"""Step 3-1, utility functions that belong to no single step."""


def parse_names(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def default_embedding_size(num_categories: int) -> int:
    """A number for each of a few categories; from 32 on it grows slowly, as in fastai's models."""
    size: float = 1.6 * num_categories**0.56
    return min(num_categories, max(32, round(size)), 50)
