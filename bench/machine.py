"""What the figures were measured on, in words that name no host and no path."""

import os
import platform
from pathlib import Path


def _field(file: str, name: str) -> str | None:
    """Return the first value of `name:` in a file of /proc, None where there is no such file or line."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        label, _, value = line.partition(":")
        if label.strip() == name:
            return value.strip()
    return None


def describe() -> dict[str, str]:
    """Return processor, cores, memory, system and Python; what this system does not tell is left out."""
    facts = {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count() or 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    memory = _field("/proc/meminfo", "MemTotal")
    if memory is not None:
        facts["memory"] = f"{int(memory.split()[0]) / 1024**2:.0f} GiB"
    return facts
