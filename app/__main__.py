"""`python -m app` is `paydue`."""

from app.cli import main

main()
