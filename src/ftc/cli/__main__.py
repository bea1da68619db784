"""`python -m ftc.cli`, where the command itself is not on the path."""

from ftc.cli.main import console

if __name__ == "__main__":
    console()
