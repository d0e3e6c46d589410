"""A task, a pool, small models and a scored run, as the command line makes them."""

from scored_place import models, place, scored

__all__ = ["models", "place", "scored"]
