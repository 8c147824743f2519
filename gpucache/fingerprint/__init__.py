"""What a function is: its own code and all of the project's that it reaches, in a form that ignores how it is written."""

from __future__ import annotations

from gpucache.fingerprint.distributions import distribution_of
from gpucache.fingerprint.fingerprints import Fingerprint, Fingerprints
from gpucache.fingerprint.project import Project, file_of_module, name_of_file
from gpucache.fingerprint.texts import texts_from

__all__ = [
    "Fingerprint",
    "Fingerprints",
    "Project",
    "distribution_of",
    "file_of_module",
    "name_of_file",
    "texts_from",
]
