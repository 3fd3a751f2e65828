"""Step 1: set hyperparameters and run.

    python train.py --learning-rate 1e-3 --weight-decay 0.01

is the same as `python -m {{ cookiecutter.__package }} train ...`.
"""

import sys

from {{ cookiecutter.__package }}.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
