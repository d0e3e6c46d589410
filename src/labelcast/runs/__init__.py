"""The run folder: manifests, atomic writes, resume."""
