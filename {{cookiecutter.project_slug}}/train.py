"""Step 1: set hyperparameters and run.

    python train.py --learning-rate 1e-3 --weight-decay 0.01

is the same as `python -m {{ cookiecutter.__package }} train ...`.
"""

import sys

from {{ cookiecutter.__package }}.cli.main import run_and_exit

if __name__ == "__main__":
    run_and_exit(["train", *sys.argv[1:]])
