"""Run `nerf view` from a clone of the repository."""

from nerf.cli.main import main

if __name__ == "__main__":
    main("view")
