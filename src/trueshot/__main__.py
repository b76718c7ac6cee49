"""`python -m trueshot` is `trueshot`."""

from trueshot.cli import main

if __name__ == "__main__":
    main()
