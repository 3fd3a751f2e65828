"""Names in many languages, from Unicode's CLDR (https://cldr.unicode.org); Babel has a copy."""

import functools
from collections import Counter

from babel import Locale

from .texts import Texts

# European languages in Latin script for which the CLDR has most names. Of two languages that share
# most of their names (Norwegian Bokmål and Nynorsk, Croatian and Bosnian), one is here.
LANGUAGES = "br ca cs cy da de en es et eu fi fr ga gd gl hr hu is it lb lt lv mt nb nl pl pt ro sk"
LANGUAGES += " sl sq sv tr"


@functools.cache
def read_names() -> tuple[Texts, list[str]]:
    """Names of countries and languages that only one of 33 languages has, and the languages."""
    english = Locale("en").languages
    codes = sorted(LANGUAGES.split(), key=english.__getitem__)
    tables = [(Locale(code).territories, Locale(code).languages) for code in codes]
    names = [sorted({name for table in both for name in table.values()}) for both in tables]
    counts = Counter(name for group in names for name in group)
    texts, labels, places = list[str](), list[int](), list[str]()
    for label, group in enumerate(names):
        own = [name for name in group if counts[name] == 1]
        texts += own
        labels += [label] * len(own)
        places += [f"{english[codes[label]]} name {number + 1}" for number in range(len(own))]
    return Texts(texts, labels, places), [english[code] for code in codes]
