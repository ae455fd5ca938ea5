"""`python -m harness`, where the command isn't on the PATH."""

from harness.cli import main

if __name__ == "__main__":
    main()
