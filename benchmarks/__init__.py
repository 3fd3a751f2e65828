"""Side by side with what users would pick instead: `make bench`, or `python -m benchmarks --help`."""
