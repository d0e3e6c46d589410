"""Measured curves: sweeps, what they keep, and calibration from them."""
