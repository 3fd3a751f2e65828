"""Step 1, set hyperparameters: every number that decides the result of a training."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from .engine.errors import UserError
from .engine.settings import Count, CountOrZero, Fraction, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True)
class Hyperparameters:
    """Each one is a flag: ``python train.py --batch-size 16``."""

    # Data
    data: Path | None = None
    """Table (.csv, .tsv, .json, .jsonl, .parquet, .xlsx), a folder with train.csv and optionally
    val.csv and test.csv, or one folder of .txt files per class. None: names of countries and
    languages in 33 languages, from Babel."""
    text_column: str = "text"
    """Column (in JSON lines: key) of the texts."""
    label_column: str = "label"
    """Column (in JSON lines: key) of the classes."""
    tokens: Literal["auto", "characters", "words"] = "auto"
    """What a text is a sequence of. words needs spaces between them; punctuation marks are words
    too. auto: words for a network, if half of the training texts have more than 40 characters and
    six words; otherwise characters."""
    lowercase: bool = False
    """Convert texts to lower case."""
    min_count: Count = 2
    """Tokens that are rarer in the training texts are read as <unknown>, as new ones are later."""
    max_length: Count = 2000
    """Tokens of a text that are read; the rest is cut off. A network takes time for each."""
    val_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the texts for validation, if the data has no validation set."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the texts for the test, if the data has no test set."""
    split_seed: CountOrZero = 0
    """Seed of that split. Keep it when you change --seed, so that the test set stays unseen."""
    group_column: str | None = None
    """Texts with the same value in this column (an author, a thread) stay in one split."""
    fold: str | None = None
    """Cross-validation: 2/5 tests on the second of five parts and trains on the others."""

    # Model
    model: Literal["auto", "ngrams", "gru", "lstm", "transformer"] = "auto"
    """ngrams (a linear layer over all short sequences of tokens), gru or lstm (recurrent networks),
    or a small transformer encoder. auto: ngrams if half of the training texts have more than 40
    characters; otherwise gru."""
    ngrams: Annotated[int, Interval(ge=1, le=20)] = 5
    """Tokens in the longest sequences of ngrams."""
    num_buckets: Annotated[int, Interval(ge=2)] = 2**18
    """Rows of the table of ngrams, which all sequences share."""
    bidirectional: bool = True
    """Let gru and lstm read the text backward, too."""
    embedding_size: Count = 64
    """Size of a token's embedding in gru and lstm; in the transformer it is the width. In ngrams it
    is the number of classes, if they are fewer."""
    width: Annotated[int, Interval(ge=4, le=8192)] = 96
    """Features of each direction of gru and lstm, or of the transformer."""
    depth: Annotated[int, Interval(ge=1, le=100)] = 1
    """Number of layers."""
    num_heads: Count = 4
    """Attention heads of the transformer; they share its width equally."""
    dropout: Annotated[float, Interval(ge=0, le=0.95)] = 0.1
    """Dropout between the layers."""
    token_dropout: Annotated[float, Interval(ge=0, le=0.95)] = 0.05
    """Share of the tokens of a training text that are replaced by <unknown> at random."""

    # Loss
    label_smoothing: Fraction = 0.1
    """Share of the target's probability that is spread over all classes."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """balanced: rare classes count as much as frequent ones in the training loss."""

    # Optimizer and schedule
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: PositiveFloat = 6e-3
    """Highest learning rate of the schedule."""
    weight_decay: NonNegativeFloat = 0.05
    """Weight decay; norms and biases have none."""
    momentum: Annotated[float, Interval(ge=0, le=0.999)] = 0.9
    """Momentum of sgd."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: a cosine down to zero, or constant."""
    warmup_fraction: Annotated[float, Interval(ge=0, le=0.9)] = 0.1
    """Share of all steps in which the learning rate rises from near zero."""
    clip_norm: NonNegativeFloat = 1.0
    """Longest gradient: longer ones are scaled down to it; 0: no clipping."""
    ema_decay: Annotated[float, Interval(ge=0, le=0.99999)] = 0.99
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""

    # Training
    seed: CountOrZero = 0
    """Seed of the weights, the order of the texts, and dropout."""
    epochs: Count | None = None
    """Number of passes over the training texts. None: 6; for little data as many as make
    200 steps, at most 100."""
    batch_size: Count = 64
    """Texts per optimizer step, over all processes and micro-batches together."""
    monitor: Literal["accuracy", "balanced_accuracy", "f1", "loss"] = "accuracy"
    """Validation metric by which the best epoch is chosen."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better one; 0: never."""

    def num_epochs(self, num_samples: int) -> int:
        """Passes over so many training texts."""
        return self.epochs or max(6, min(100, math.ceil(200 * self.batch_size / num_samples)))

    def __post_init__(self) -> None:
        if self.model == "transformer" and self.width % (2 * self.num_heads):
            raise UserError(
                f"--width {self.width} cannot be shared by {self.num_heads} attention heads. "
                f"Type a multiple of {2 * self.num_heads}."
            )
