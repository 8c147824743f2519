"""The pipelines that `gpucache demo` writes and runs, as its user would."""
