"""The files of `gpucache demo digits`."""
