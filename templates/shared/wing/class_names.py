"""Which spellings of a class or category are the same one: 1 and 1.0; Yes and "yes "."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..engine.data_report import DataReport

WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0*")
YES, NO = {"true", "yes", "y", "t", "on", "1"}, {"false", "no", "n", "f", "off", "0"}
GAPS = {"", "nan", "<na>", "nat", "#n/a", "#n/a n/a", "#na", "#div/0!", "#null!", "#ref!"}
GAPS |= {"#value!", "#name?", "#num!", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "-nan"}
"""Never a class or category, in small letters."""
GAP_WORDS = {"-", "--", "---", ".", "..", "...", "?", "??", "*", "na", "n.a.", "n.a", "n/a", "n/d"}
GAP_WORDS |= {"nd", "none", "null", "nil", "nan", "-nan", "nat", "<na>", "missing", "unknown"}
GAP_WORDS |= {"unk", "tbd", "k.a.", "s.o."}
GAP_WORDS |= {"#n/a", "#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!"}
"""Gaps in a column of numbers, in small letters."""
MAX_LETTERS = 4  # more letters than this that are there in both cases are letters, not spellings


def clean(cells: pd.Series) -> pd.Series:
    """Texts without spaces around them; NaN where there is none, or a word that only means a gap.

    Each different text is looked at once, as there are often few in many rows.
    """
    codes, texts = pd.factorize(cells)
    names = [None if text.strip().lower() in GAPS else text.strip() for text in map(str, texts)]
    known = np.array([*names, None], dtype=object)[codes]
    return pd.Series(known, index=cells.index, dtype="str")


def key(name: str) -> str:
    """The same for all spellings of a name."""
    name = " ".join(name.split()).casefold()
    number = WHOLE_NUMBER.fullmatch(name)
    return number[1] if number else name


def join_spellings(cells: pd.Series, column: str, report: DataReport) -> pd.Series:
    """The cells with one spelling for each name, the most frequent one; says what was joined."""
    counts = cells.value_counts()
    groups: dict[str, list[str]] = {}
    for name in counts.index:
        groups.setdefault(key(name), []).append(name)
    letters = [names for names in groups.values() if len(names) > 1 and len(names[0]) == 1]
    if len(letters) > MAX_LETTERS:
        groups = {name: [name] for name in counts.index}
    joined = [names for names in groups.values() if len(names) > 1]
    if not joined and all(WHOLE_NUMBER.fullmatch(name) is None for name in counts.index):
        return cells
    spelled = [names for names in joined if len({WHOLE_NUMBER.sub(r"\1", n) for n in names}) > 1]
    if spelled:
        shown = "; ".join(" = ".join(map(repr, names)) for names in spelled[:3])
        more = f" and {len(spelled) - 3} more" if len(spelled) > 3 else ""
        report.note(f"{column}: different spellings are read as the same: {shown}{more}.")
    chosen = {
        name: WHOLE_NUMBER.sub(r"\1", names[0]) if WHOLE_NUMBER.fullmatch(names[0]) else names[0]
        for names in groups.values()
        for name in names
    }
    return cells.map(chosen)


def find_names(cells: pd.Series, names: Sequence[str]) -> np.ndarray:
    """The number of each cell's name, (N,) int64; -1 where it is none of them, or a gap.

    yes and no are also found as True and False, or as 1 and 0.
    """
    codes, unique = pd.factorize(cells)
    texts = [*map(str, unique)]
    numbers = {name: number for number, name in enumerate(names)}
    by_key = Counter(map(key, names))
    keys = {key(name): number for name, number in numbers.items() if by_key[key(name)] == 1}
    found = [numbers.get(text, keys.get(key(text), -1)) for text in texts]
    if -1 in found:
        found = _find_yes_or_no(texts, keys) or found
    return np.asarray(np.array([*found, -1], dtype=np.int64)[codes])


def _find_yes_or_no(texts: Sequence[str], keys: Mapping[str, int]) -> list[int]:
    """The numbers of the texts, if they and the names are words for yes and no; else nothing."""
    words = [key(text) for text in texts]
    if not keys.keys() <= YES | NO or not set(words) <= YES | NO:
        return []
    yes = next((number for name, number in keys.items() if name in YES), -1)
    no = next((number for name, number in keys.items() if name in NO), -1)
    return [yes if word in YES else no for word in words]
