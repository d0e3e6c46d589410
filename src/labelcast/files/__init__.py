"""Atomic writes, JSON files, and checks of untrusted paths and text."""
