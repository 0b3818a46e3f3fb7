"""`python -m bridge.cli` is the command `skolebro`."""

from bridge.cli.main import main

main()
