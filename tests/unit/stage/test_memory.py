"""What memory a process may take, out of files as Linux and containers have them."""

import os
from pathlib import Path

import pytest

from stage.memory import available

MACHINE = {"proc/meminfo": "MemTotal:       24650000 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n"}
V2 = {"memory.max": "4000000000\n", "memory.current": "3500000000\n"}
V1 = {"memory.limit_in_bytes": "4000000000\n", "memory.usage_in_bytes": "3500000000\n"}
STAT = "anon 1000000000\nfile 2500000000\ninactive_file 1500000000\nactive_file 1000000000\n"
STAT_V1 = "cache 1\nactive_file 7\ntotal_inactive_file 1500000000\ntotal_active_file 1000000000\n"


def below(directory: str, files: dict[str, str]) -> dict[str, str]:
    return {f"sys/fs/cgroup/{directory}{name}": content for name, content in files.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 20_480_000_000),
        ({"proc/self/cgroup": "0::/user.slice\n"}, 20_480_000_000),
        ({"proc/self/cgroup": "0::/\n", **below("", V2)}, 500_000_000),
        # What has been read from files goes when memory is wanted.
        ({"proc/self/cgroup": "0::/\n", **below("", V2 | {"memory.stat": STAT})}, 3_000_000_000),
        ({"proc/self/cgroup": "0::/\n", **below("", V2 | {"memory.max": "max\n"})}, 20_480_000_000),
        ({"proc/self/cgroup": "0::/\n", **below("", V2 | {"memory.current": "4000000001"})}, 0),
        (
            {"proc/self/cgroup": "0::/a/b\n", **below("a/", V2), **below("a/b/", V2 | {"memory.max": "max"})},
            500_000_000,
        ),
        (
            {"proc/self/cgroup": "0::/a.slice:cri:0a1b\n", **below("a.slice:cri:0a1b/", V2)},
            500_000_000,
        ),
        ({"proc/self/cgroup": "0::/\n", **below("", {"memory.max": "4000000000\n"})}, 20_480_000_000),
        # A container that sees its own group as the root, but the host's name of it.
        ({"proc/self/cgroup": "0::/../docker/0a1b\n", **below("", V2)}, 500_000_000),
        (
            {
                "proc/self/cgroup": "12:cpu,cpuacct:/x\n4:memory:/docker/0a1b\n0::/\n",
                **below("memory/", V1 | {"memory.stat": STAT_V1}),
            },
            3_000_000_000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                **below("memory/", V1 | {"memory.limit_in_bytes": "9223372036854771712\n"}),
            },
            20_480_000_000,
        ),
    ],
    ids=[
        "no group", "no files", "v2", "v2 with a page cache", "v2 without a limit", "v2 beyond its limit",
        "v2 with a limit above", "v2 named with colons", "v2 without usage", "v2 by the host's name",
        "v1 with a page cache", "v1 without a limit",
    ],
)  # fmt: skip
def test_it_is_the_least_of_the_machine_and_each_group(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, content in (MACHINE | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available(str(tmp_path)) == expected


def test_where_linux_says_nothing_it_is_what_is_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 6_000_000, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available(str(tmp_path)) == 24_576_000_000

    def refuse(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", refuse)
    assert available(str(tmp_path)) is None


def test_here_it_is_at_most_what_is_built_in() -> None:
    here = available()
    assert here is not None
    assert 0 < here <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
