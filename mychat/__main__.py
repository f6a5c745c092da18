"""`python -m mychat`, which is also what the `mychat` command runs."""

from mychat.cli.app import main

if __name__ == "__main__":
    main()
