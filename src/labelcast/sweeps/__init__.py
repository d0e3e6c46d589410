"""Measured curves: sweeps, the results they keep, and calibration from them."""
