"""Build the extensions: Cython glue from gpucache/, C from csrc/, XXH3 from pyarrow's headers.

Each .pyx names its own C sources in a `# distutils:` line. Nothing is vendored: pyarrow's wheel
carries xxhash.h under pyarrow.get_include().
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from Cython.Build import cythonize
from setuptools import Extension, setup

C_FLAGS = ["-std=c17", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"]


def extensions() -> list[Extension]:
    """One extension per .pyx, named by its place in the package."""
    includes = ["csrc", str(Path(pa.get_include()) / "arrow" / "vendored" / "xxhash")]
    return [
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            include_dirs=includes,
            extra_compile_args=C_FLAGS,
        )
        for source in sorted(Path("gpucache").rglob("*.pyx"))
    ]


setup(
    ext_modules=cythonize(
        extensions(),
        language_level=3,
        build_dir="build/cython",
        compiler_directives={"embedsignature": True, "binding": True},
    )
)
