"""`python -m labelcast`."""

from labelcast.cli.app import main

main()
