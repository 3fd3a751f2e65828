"""Step 1, set hyperparameters: what you change first when you train on texts by class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .errors import UserError
from .settings import CommonHyperparameters, Count, Fraction, Positive, PositiveOrZero, Range

Dropout = Annotated[float, Range(0, 0.95)]


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    data: Path | None = None
    """CSV or JSON lines (.jsonl), a folder with train.csv or train.jsonl and perhaps val and test,
    or folders of .txt files, one folder a class. None: names of countries and languages in 33
    languages, from Babel."""
    text_column: str = "text"
    """Column (in JSON lines: key) of the texts."""
    label_column: str = "label"
    """Column (in JSON lines: key) of the classes."""
    tokens: Literal["characters", "words"] = "characters"
    """What a text is a sequence of. words needs spaces between them; marks are words too."""
    lowercase: bool = False
    """Read capital letters as small ones."""
    min_count: Count = 2
    """Tokens that are rarer in the training texts are read as <unknown>, like new ones later."""
    max_length: Count = 256
    """Tokens of a text that are read; the rest is cut off."""

    model: Literal["gru", "lstm", "transformer"] = "gru"
    """gru or lstm (recurrent networks), or a small transformer encoder."""
    bidirectional: bool = True
    """Let gru and lstm read the text from its end, too."""
    embedding_size: Count = 64
    """Numbers that stand for a token in gru and lstm; the transformer has its width for that."""
    width: Annotated[int, Range(4, 8192)] = 96
    """Features of each direction of gru and lstm, or of the transformer."""
    depth: Annotated[int, Range(1, 100)] = 1
    """Number of layers."""
    num_heads: Count = 4
    """Attention heads of the transformer; they share its width equally."""
    dropout: Dropout = 0.1
    """Part of the features that is left out at random."""
    token_dropout: Dropout = 0.05
    """Part of the tokens of a training text that are read as <unknown>, at random."""

    label_smoothing: Fraction = 0.1
    """Part of the target's probability that is spread over all classes."""
    monitor: Literal["accuracy", "f1", "loss"] = "accuracy"
    """Validation metric by which the best epoch is chosen."""

    epochs: Count = 6
    """Number of passes over the training texts."""
    batch_size: Count = 64
    """Texts per optimizer step, over all processes and accumulation steps together."""
    learning_rate: Positive = 6e-3
    """Highest learning rate of the schedule."""
    weight_decay: PositiveOrZero = 0.05
    """Weight decay; norms and biases have none."""
    ema_decay: Annotated[float, Range(0, 0.99999)] = 0.99
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "transformer" and self.width % (2 * self.num_heads):
            raise UserError(
                f"--width {self.width} cannot be shared by {self.num_heads} attention heads. "
                f"Type a multiple of {2 * self.num_heads}."
            )
