"""The local web page for labelling."""
