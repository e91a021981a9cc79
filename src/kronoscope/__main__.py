"""``python -m kronoscope``."""

from .cli import main

main()
