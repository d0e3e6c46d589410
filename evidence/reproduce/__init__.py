"""The published figures, recomputed, and the forecast tested on them, leaving one task out."""
