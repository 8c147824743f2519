"""gpucache: nothing is computed twice and no GPU is cold."""
