"""Compiles the quick classifier's kernel, in C. Everything else about the package is in pyproject.toml.

With the compiler that `CC` names, else with `cc`; where there is neither, ziglang from PyPI brings one for as long as
the building takes. Where compiling fails the package is whole without it: plain numpy answers, several times slower.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

FAST = "inquiry_svc_plugins.classifiers.xgboost.fast"
SOURCES = Path("plugins", *FAST.split("."))
# Every processor of its kind runs what is built; and a product and a sum are rounded apart, as numpy rounds them.
FLAGS = ["-std=c99", "-O3", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno"]
ZIG = "ziglang==0.16.0"


class BuildKernel(build_ext):
    """A plain library, loaded with ctypes: it needs no headers of Python, and one build serves every version."""

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*(compiler() or [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]), *FLAGS, *ext.sources]
        try:
            subprocess.run([*command, "-o", str(target), "-lm"], check=True)  # noqa: S603 - the compiler's
        except (OSError, subprocess.CalledProcessError) as error:
            raise CompileError(f"{shlex.join(command)}: {error}") from error


def compiler() -> list[str] | None:
    return shlex.split(os.environ.get("CC", "")) or (["cc"] if shutil.which("cc") else None)


setup(
    ext_modules=[
        Extension(
            f"{FAST}.kernel",
            [str(SOURCES / "kernel.c")],
            depends=[str(each) for each in SOURCES.glob("*.h")],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernel},
    setup_requires=[] if compiler() else [ZIG],
)
