"""Run the command `nerf` as `python -m nerf`."""

from nerf.cli.main import main

if __name__ == "__main__":
    main()
