"""`python -m nervio` is the command line."""

from nervio.runtime.cli import main

if __name__ == "__main__":
    main()
