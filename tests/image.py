"""deploy/Dockerfile, read and replayed without an engine: its own commands, below a folder of a test. For tests alone.

What the image has at `/opt/inquiry-svc`, `/build` and `/data` is below that folder instead. As root, what runs from it
is as contained as in an engine: the first process of its own, under the image's user, on a root that can't be written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOCKERFILE: Final = ROOT / "deploy/Dockerfile"
FOLDERS: Final = ("/opt/inquiry-svc", "/build", "/data")


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, the first of which is its FROM."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if word and found:
            found[-1].append(Instruction(word, rest.strip()))
    return found


def of_kind(word: str, stage: list[Instruction]) -> list[str]:
    return [each.rest for each in stage if each.word == word]


@dataclass(frozen=True, slots=True)
class Image:
    folder: Path
    environ: Mapping[str, str]
    user: int
    entry_point: list[str]
    command: list[str]
    health_check: list[str]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def contained(self, command: list[str]) -> list[str]:
        """The command as an engine starts it; as anybody but root, without what only root can set up."""
        if os.geteuid() != 0:
            return command
        mounts: list[list[object]] = [
            *_python_for_others(self.folder),
            ["--bind", self.data, self.data],
            ["-o", "remount,bind,ro", "/"],
        ]
        script = "".join(f"mount {' '.join(f'{word}' for word in each)} && " for each in mounts) + 'exec "$@"'
        user = f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"
        return [
            *("unshare", "--mount", "--pid", "--fork", "--mount-proc"),
            *("sh", "-c", script, "sh", "setpriv", *user, *command),
        ]


def _python_for_others(folder: Path) -> Iterator[list[object]]:
    """Mounts that show the interpreter, and nothing beside it, where it lies in a home that is closed to others."""
    installed = Path(sys.base_prefix)
    closed = next((each for each in reversed(installed.parents) if not each.stat().st_mode & 0o001), None)
    if closed is not None:
        shown = folder / "python"
        yield ["--bind", installed, shown]
        yield ["-t", "tmpfs", "-o", "mode=755", "none", closed, "&&", "mkdir", "-p", installed]
        yield ["--bind", shown, installed]


def built(folder: Path, **arguments: str) -> Image:
    """Build both stages below the folder, with these build arguments."""
    build, final = stages()
    _run_build(build, folder, arguments)
    for name in ("data", "python"):
        (folder / name).mkdir()
    user = int(of_kind("USER", final)[0].split(":")[0])
    if os.geteuid() == 0:
        os.chown(folder / "data", user, user)
    image = Image(
        folder,
        {name: _below(folder, value).replace("$PATH", os.environ["PATH"]) for name, value in FINAL_ENVIRONMENT.items()},
        user,
        json.loads(of_kind("ENTRYPOINT", final)[0]),
        json.loads(of_kind("CMD", final)[0]),
        json.loads(of_kind("HEALTHCHECK", final)[0].partition("CMD ")[2]),
    )
    subprocess.run(["chmod", "-R", "a-w,a+rX", folder / "opt"], check=True)
    return image


def _run_build(stage: list[Instruction], folder: Path, arguments: Mapping[str, str]) -> None:
    defaults = dict(each.split("=", 1) for each in of_kind("ARG", stage))
    assert arguments.keys() <= defaults.keys()
    given = {**dict(_variables(stage)), **defaults, **arguments}
    environ = {**os.environ, **given, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    place = folder
    for each in stage:
        match each.word:
            case "WORKDIR":
                place = Path(_below(folder, each.rest))
                place.mkdir(parents=True)
            case "COPY":
                _copy(each.rest.split(), place)
            case "RUN" if not each.rest.startswith(("pip install", "apt-get")):  # uv and a compiler are here already
                command = re.sub(r"--mount=\S+", "", _below(folder, each.rest))
                command = re.sub(r"^\s*python\b", sys._base_executable, command)  # type: ignore[attr-defined]
                done = subprocess.run(
                    ["sh", "-ec", command],
                    cwd=place,
                    env=environ,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=300,
                    check=False,
                )
                assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}"
            case _:
                pass


def _copy(words: list[str], place: Path) -> None:
    *sources, target = words
    for source in map(ROOT.joinpath, sources):
        if source.is_dir():
            shutil.copytree(source, place / target, ignore=shutil.ignore_patterns("__pycache__", "corpus", "*.so"))
        else:
            (place / target).mkdir(exist_ok=True)
            shutil.copy(source, place / target)


def _variables(stage: list[Instruction]) -> Iterator[tuple[str, str]]:
    for rest in of_kind("ENV", stage):
        for pair in rest.split():
            name, _, value = pair.partition("=")
            yield name, value


FINAL_ENVIRONMENT: Final[Mapping[str, str]] = dict(_variables(stages()[-1]))
"""The image's own variables."""


def _below(folder: Path, text: str) -> str:
    return re.sub(rf"(?<![\w/])({'|'.join(FOLDERS)})(?=[/\s:]|$)", rf"{folder}\1", text)
