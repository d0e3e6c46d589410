"""Fixtures: a task, a pool, small models and a scored run."""

from scored_place import models, place, scored

__all__ = ["models", "place", "scored"]
