"""`python -m gpucache`: the command line."""

from __future__ import annotations

from gpucache.cli.main import main

if __name__ == "__main__":
    main()
