"""`python -m study.commands`: gradient-study where the script is not installed."""

from study.commands.main import start

start()
