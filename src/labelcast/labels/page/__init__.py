"""The local page on which a person labels, and the same in a terminal."""
