"""`python -m ganbench`, for use without installation."""

from ganbench.cli import main

main()
