"""Makes `.venv` from the hashed locks, and writes those locks.

    python3 scripts/environment.py runtime     what running Nervio needs
    python3 scripts/environment.py dev         and what testing it needs
    python3 scripts/environment.py lock        resolve again into requirements/*.txt (--upgrade for newer versions)

Only the standard library, on Linux, macOS and Windows. Each file that comes from an index is checked against the hash
in the lock. A second run finds its stamp and returns at once. The grammar is that of Python 3.7, so that an old Python
can say which one is needed instead of showing a syntax error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "requirements"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
UV = BIN / ("uv.exe" if os.name == "nt" else "uv")

HEADER = """\
# {what}. Written by `make lock`; do not edit.
# No index is named here on purpose: pip's and uv's own settings decide where files come from, the hashes what they are.
"""


class SetupError(Exception):
    """What went wrong and how to mend it, for the person at the terminal."""


def say(text: str) -> None:
    """Tell the person at the terminal what is going on."""
    print("[nervio] " + text, flush=True)


def continue_on_a_new_enough_python() -> None:
    """Start again under a Python that is new enough, or say that there is none."""
    if sys.version_info[:2] >= OLDEST:
        return
    for minor in range(14, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, *sys.argv])  # noqa: S606 (no shell is wanted)
    raise SetupError(
        f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.\n"
        "  Install one (Debian 12 or newer: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12"
    )


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a command from the top of the repository; SetupError when it fails."""
    words = [str(word) for word in command]
    if subprocess.call(words, cwd=ROOT, env={**os.environ, **(env or {})}) != 0:
        raise SetupError("this command failed: " + " ".join(words))


def has_working_venv() -> bool:
    """Whether `.venv` has a Python that starts and is new enough (it stops starting when its base is upgraded away)."""
    if not PYTHON.exists():
        return False
    probe = f"import sys, pip; sys.exit(sys.version_info[:2] < {OLDEST!r})"
    return subprocess.call([str(PYTHON), "-c", probe], stderr=subprocess.DEVNULL) == 0


def make_venv() -> None:
    """Create `.venv` with pip in it."""
    if has_working_venv():
        return
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(
            "this Python cannot make virtual environments (Debian and Ubuntu package that apart).\n"
            f"  Fix: sudo apt install python3-venv        (or {package}), then run the same command again"
        ) from None
    say(f"making .venv with Python {sys.version.split()[0]}")
    if VENV.exists():
        shutil.rmtree(VENV)
    venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(VENV)


def indexes_of_pip() -> dict[str, str]:
    """Pip's own index and certificate settings, in uv's words, where uv has none of its own."""
    listing = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    words = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
    }
    found: dict[str, str] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        name = words.get(key.rpartition(".")[2])
        # pip lists its files first and the environment last, in the order in which they win.
        if name and name not in os.environ:
            found[name] = value.strip("'\"").replace("\\n", " ").strip()
    if "UV_INDEX" in found:
        # uv would look at the first index that knows a name; the hashes make it safe to look at all of them.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


def install_uv() -> bool:
    """Install the pinned uv into `.venv`; False where it has no build for this machine."""
    wanted = (LOCKS / "uv.txt").read_text(encoding="utf-8").split("uv==", 1)[1].split()[0]
    if UV.exists():
        have = subprocess.run([str(UV), "--version"], capture_output=True, text=True, check=False).stdout.split()
        if have[1:2] == [wanted]:
            return True
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    return subprocess.call([*pip, "--require-hashes", "-r", str(LOCKS / "uv.txt")], cwd=ROOT) == 0


def install(profile: str) -> None:
    """Bring `.venv` to the lock of a profile and install Nervio itself in place."""
    lock = LOCKS / f"{profile}.txt"
    if not has_stamp(profile):
        make_venv()
        say(f"installing {lock.relative_to(ROOT)} (hashes are checked)")
        locked = ["--require-hashes", "-r", str(lock)]
        # The build backend is in the lock, so nothing is fetched that the lock does not name.
        ourselves = ["--no-deps", "--no-build-isolation", "-e", "."]
        if install_uv():
            uv: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", PYTHON]
            settings = {"UV_PYTHON_DOWNLOADS": "never", **indexes_of_pip()}
            run(*uv, *locked, env=settings)
            run(*uv, *ourselves, env=settings)
        else:
            say("uv has no build for this machine; pip does the same, slower")
            pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run(*pip, *locked)
            run(*pip, *ourselves)
        write_stamp(profile)
        say("ready")


def fingerprint(profile: str) -> str:
    """What the environment is made of; another value means it must be made again."""
    digest = hashlib.sha256()
    for path in (LOCKS / f"{profile}.txt", LOCKS / "uv.txt", ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    # An editable install points here: a copied or moved checkout installs itself anew.
    digest.update(str(ROOT).encode())
    return digest.hexdigest()


def has_stamp(profile: str) -> bool:
    """Whether `.venv` already holds a profile. The dev lock holds all of the runtime lock."""
    candidates = {profile, "dev"}
    for name in candidates:
        stamp = VENV / f".nervio-{name}"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint(name):
            return PYTHON.exists()
    return False


def write_stamp(profile: str) -> None:
    """Remember what was installed."""
    (VENV / f".nervio-{profile}").write_text(fingerprint(profile), encoding="utf-8")


def lock(upgrade: bool) -> None:
    """Resolve pyproject.toml into requirements/*.txt for every Python and system that Nervio supports."""
    make_venv()
    if not install_uv():
        raise SetupError("locks are written with uv, and it has no build for this machine")
    compile_: list[str | Path] = [UV, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"]
    # Neither index hosts nor local folders belong in a lock.
    compile_ += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", ".".join(map(str, OLDEST))]
    if upgrade:
        compile_.append("--upgrade")
    build, project = "requirements/build.in", "pyproject.toml"
    runtime = "requirements/runtime.txt"
    write_lock("uv, which installs the other locks", "uv.txt", [*compile_, "requirements/uv.in"])
    write_lock("What running Nervio needs", "runtime.txt", [*compile_, project, build])
    # Constrained by the runtime lock: what is tested is what runs.
    write_lock("What testing Nervio needs", "dev.txt", [*compile_, project, build, "--extra", "dev", "-c", runtime])


def write_lock(what: str, name: str, command: list[str | Path]) -> None:
    """Resolve into one lock file, keeping the versions that stand in it unless asked to upgrade."""
    path = LOCKS / name
    run(*command, "-o", path.relative_to(ROOT).as_posix())
    body = path.read_text(encoding="utf-8").replace(HEADER.format(what=what), "")
    path.write_text(HEADER.format(what=what) + body, encoding="utf-8", newline="\n")
    say(f"wrote {path.relative_to(ROOT)}")


def main() -> int:
    """Entry point; returns the exit code."""
    words = sys.argv[1:]
    if words[:1] == ["lock"] and set(words[1:]) <= {"--upgrade"}:
        lock(upgrade="--upgrade" in words)
    elif words in (["runtime"], ["dev"]):
        install(words[0])
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    try:
        continue_on_a_new_enough_python()
        sys.exit(main())
    except SetupError as error:
        print(f"[nervio] {error}", file=sys.stderr)
        sys.exit(1)
