"""How much memory is free, and what becomes of what was freed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.__package }} import memory
from {{ cookiecutter.__package }}.machine import Machine


def files(root: Path, **texts: str) -> Machine:
    """A Linux with these files; "__" stands for a slash."""
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return Machine(system="Linux", root=root)


MEMINFO = "MemTotal:  900 kB\nMemAvailable:  500 kB\n"


@pytest.mark.parametrize(
    ("texts", "free"),
    [
        ({}, 500 * 1024),
        (
            {
                "proc__self__cgroup": "0::/a/b\n",
                "sys__fs__cgroup__a__memory_DOT_max": "4000\n",
                "sys__fs__cgroup__a__memory_DOT_current": "3000\n",
                "sys__fs__cgroup__a__memory_DOT_stat": "anon 1\ninactive_file 200\n",
                "sys__fs__cgroup__a__b__memory_DOT_max": "max\n",
                "sys__fs__cgroup__a__b__memory_DOT_current": "3000\n",
            },
            1200,
        ),
        (
            {
                "proc__self__cgroup": "4:cpu:/\n3:memory:/a\n0::/\n",
                "sys__fs__cgroup__memory__memory_DOT_limit_in_bytes": "9000\n",
                "sys__fs__cgroup__memory__memory_DOT_usage_in_bytes": "3000\n",
            },
            6000,
        ),
    ],
    ids=["no limit", "version 2", "version 1"],
)
def test_free_memory_is_the_least_of_the_machine_and_its_groups(
    tmp_path: Path, texts: dict[str, str], free: int
) -> None:
    assert memory.free_memory(files(tmp_path, proc__meminfo=MEMINFO, **texts)) == free


def test_free_memory_can_be_unknown(tmp_path: Path) -> None:
    assert memory.free_memory(Machine(system="Windows", root=tmp_path)) is None


REUSE = """
import resource
from pathlib import Path

import torch

from {{ cookiecutter.__package }}.memory import keep_freed, release


def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        [torch.ones(2**22) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


cpu = torch.device("cpu")
keep_freed(cpu)
faults()
print(faults(), end=" ")
kept = resident()
release(cpu)
print(kept - resident())
"""


@pytest.mark.skipif(not memory.is_glibc(), reason="others are left as they are")
def test_freed_memory_is_used_again_until_it_is_released() -> None:
    done = subprocess.run([sys.executable, "-c", REUSE], check=True, capture_output=True, text=True)
    faults, released = map(int, done.stdout.split())
    assert faults < 100
    assert released > 60 * 2**20


def test_where_the_c_library_is_another_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.keep_freed(torch.device("cpu"))
    memory.release(torch.device("cpu"))
