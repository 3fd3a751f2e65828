"""Figures that several tasks share, and the page that shows them."""
