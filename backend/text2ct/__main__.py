"""`python -m text2ct` is the command `text2ct`; Slicer starts it this way."""

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
