"""How good the defaults are, beside what users would get elsewhere."""
