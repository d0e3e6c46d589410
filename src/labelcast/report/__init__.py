"""The report of a run: its answer, and all that the answer rests on, as one HTML file."""
