"""For tests: an environment of its own, in which one version of the package after the other is installed."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RELEASE = HERE / "peercoord-0.1.0-py3-none-any.whl"


class Environment:
    """A virtual environment without a network: what the package needs it finds where the tests run.

    Args:
        path: Where it is made.
    """

    def __init__(self, path: Path) -> None:
        self.bin = path / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
        packages = path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def install(self, wheel: Path) -> None:
        """Install a wheel of the package over what is there."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        words = ["install", "-q", "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
        done = subprocess.run([*pip, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def version(self) -> str:
        """What the installed package says of itself."""
        words = [str(self.bin / "peercoord"), "--version"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]


def current(into: Path) -> Path:
    """Make a wheel of what lies in this repository, as hatchling does; it is not installed where tests run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = f"{project['name']}-{project['version']}"
    scripts = "".join(f"{script} = {target}\n" for script, target in project["scripts"].items())
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in sorted((ROOT / "peercoord").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = f"{name}.dist-info"
    files[f"{about}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n".encode()
    )
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/entry_points.txt"] = f"[console_scripts]\n{scripts}".encode()
    rows = [f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items()]
    files[f"{about}/RECORD"] = "".join([*rows, f"{about}/RECORD,,\n"]).encode()
    wheel = into / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
