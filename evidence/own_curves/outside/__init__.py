"""Tasks on which nothing of the forecast was chosen, and what was measured on them."""
