"""What a function is: its own code and all of the project's that it reaches, in a form that ignores how it is written."""

from __future__ import annotations

from gpucache.fingerprint.fingerprints import Fingerprint, Fingerprints
from gpucache.fingerprint.project import distribution_of, is_project_file, is_project_module

__all__ = ["Fingerprint", "Fingerprints", "distribution_of", "is_project_file", "is_project_module"]
