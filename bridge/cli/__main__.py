"""The command `skolebro`, also as `python -m bridge.cli`: a Ctrl-C while it still loads is no traceback either."""

import sys


def main() -> None:
    """Load the verbs and run the one that the command line names."""
    try:
        from bridge.cli.main import main as run  # the slow part of the start
    except KeyboardInterrupt:
        sys.stderr.write("skolebro: interrupted before anything had begun\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
