"""How every shipped number was made, and how the forecast was tested."""
