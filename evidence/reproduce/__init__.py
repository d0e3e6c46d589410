"""The published figures: read, recomputed, and the forecast judged on them, one task left out."""
