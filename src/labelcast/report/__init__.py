"""The report: a forecast and what it is based on, as charts and one HTML file."""
