"""Curves that anyone can measure on a laptop, and the forecast held against them."""
