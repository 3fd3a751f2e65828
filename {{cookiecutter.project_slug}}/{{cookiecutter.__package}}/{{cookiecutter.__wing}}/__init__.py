"""What reads this kind of data, and what the steps need of it: the loaders import from here."""
