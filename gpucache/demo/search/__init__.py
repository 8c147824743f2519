"""The pipeline of `gpucache demo search`."""
