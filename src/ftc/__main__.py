"""`python -m ftc` is the `ftc` command."""

from ftc.cli.main import console

if __name__ == "__main__":
    console()
