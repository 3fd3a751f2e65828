"""What Markdown pages hold that tests can do: diffs, programs and commands."""

import re
from pathlib import Path

Change = dict[str, list[tuple[str, str]]]
"""File -> old and new texts."""


def blocks_in(text: str, kind: str) -> list[str]:
    """The code blocks of a kind (sh, diff, python), without their fences."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands_in(text: str) -> list[str]:
    """The lines of the shell blocks, without comments."""
    lines = [line for block in blocks_in(text, "sh") for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines]


def changes_in(text: str) -> list[Change]:
    """The diffs of a page, of which each line stands as it is in the file."""
    changes = []
    for block in blocks_in(text, "diff"):
        change: Change = {}
        for file, hunks in re.findall(r"^--- (\S+)\n(.*?)(?=^--- |\Z)", block, re.M | re.S):
            for hunk in hunks.split("@@\n"):
                lines = hunk.splitlines()
                old, new = (
                    "".join(f"{line[1:]}\n" for line in lines if line[0] in kinds)
                    for kinds in (" -", " +")
                )
                change.setdefault(file, []).append((old, new))
        changes.append(change)
    return changes


def apply(change: Change, project: Path) -> None:
    """Make a change, each of whose old texts must be there once."""
    for name, hunks in change.items():
        path = project / name
        for old, new in hunks:
            text = path.read_text("utf-8")
            assert text.count(old) == 1, f"{name}: {old}"
            path.write_text(text.replace(old, new), encoding="utf-8")
