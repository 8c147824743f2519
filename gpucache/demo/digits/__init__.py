"""The pipeline of `gpucache demo`."""
