"""How the calibration card of smollm2 is made, and what its measurements show."""
