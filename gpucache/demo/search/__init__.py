"""The files of `gpucache demo search`."""
