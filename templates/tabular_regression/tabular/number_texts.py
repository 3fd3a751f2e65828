"""Numbers as people write them: 1.234,50 €; $1,200.50; -5 %; 3 kg; (12); 1 234,5."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .class_names import GAP_WORDS

ENOUGH = 0.9  # share of the cells that must be numbers
DASHES, SPACES = "−–—﹣－‒‐‑", "\u00a0\u202f\u2009\u2007"
PLAIN = dict.fromkeys(DASHES, "-") | dict.fromkeys(SPACES, " ") | {"²": "2", "³": "3"}
TRANSLATION = str.maketrans(PLAIN)
EVEN = re.compile(r"(?<=\d)[.,]-+$")  # 50,- is a price without cents
CURRENCY = r"(?:[A-Z]{0,3}[$€£¥₩₹₽₺₫฿₴₪₱₦₿]|R\$|Rs\.?|Fr\.|kr\.?|zł|[A-Z]{3}(?=[\s\d]))"
# Sign or bracket, currency, sign, digits with marks, exponent, unit, sign or bracket.
CELL = re.compile(
    rf"(?P<sign>[-+(]?)\s*(?P<currency>{CURRENCY}?)\s*(?P<inner>[-+]?)\s*"
    r"(?P<digits>\d(?:[\d.,'’_ ]*\d)?[.,]?|[.,]\d+)(?P<exponent>[eE][-+]?\d{1,3}(?!\w))?"
    r"\s*(?P<unit>(?:[^\d\s.,;:()<>=+\-'’_][^\d,;:()<>=+]{0,14}?)?(?:(?<=[^\W\d_])[23])?)"
    r"\s*(?P<end>[-)]?)"
)
IS_UNIT = re.compile(r"[^\W\d_]|[%‰°′″$€£¥₩₹₽₺₫฿₴₪₱₦₿]")
# The digits, if the decimal mark is a point or a comma. Thousands are in groups of three, in
# India of two and three at the end.
DECIMAL = {
    ".": re.compile(r"(?:[1-9]\d{0,2}(?:,\d\d\d?)*(?:,\d{3})|[1-9]\d{0,2}(?:(?P<t>['’_ ])\d{3})"
                    r"(?:(?P=t)\d{3})*|\d+)(?:\.\d*)?|\.\d+"),
    ",": re.compile(r"(?:[1-9]\d{0,2}(?:(?P<t>[.'’_ ])\d{3})(?:(?P=t)\d{3})*|\d+)(?:,\d*)?|,\d+"),
}  # fmt: skip
THOUSANDS = {".": ",", ",": "."}
FACTORS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "Mio": 1e6, "Mio.": 1e6}
FACTORS |= {"B": 1e9, "bn": 1e9, "Mrd": 1e9, "Mrd.": 1e9}
TO_FLOAT = {".": str.maketrans("", "", ",'’_ "), ",": str.maketrans(",", ".", ".'’_ ")}
BOUND = re.compile(r"(?:[<>≤≥~≈]|ca\.?|<=|>=)\s*[-+]?[\d.,]*\d.*")


class NumberTexts:
    """The different texts of a column, taken apart as numbers.

    Args:
        texts: U of them.
        counts: in how many cells each is.
    """

    def __init__(self, texts: Sequence[str], counts: np.ndarray) -> None:
        plain = [EVEN.sub("", text.translate(TRANSLATION).strip()) for text in texts]
        self.texts, self.counts = texts, counts
        is_gap = [not text or text.lower() in GAP_WORDS for text in plain]
        self.is_gap = np.array(is_gap, dtype=bool)
        self.parts = self._take_apart(plain)
        self.currency, self.unit, self.factors = "", "", dict.fromkeys([""], 1.0)
        self._agree_on_units()
        self.fits = {mark: self._fits(mark) for mark in DECIMAL}
        self.marks = self._find_marks()

    def _take_apart(self, plain: list[str]) -> list[re.Match[str] | None]:
        """What CELL finds in each text; nothing if most of the first texts are no numbers."""
        first = [CELL.fullmatch(text) for text in plain[:500]]
        if sum(part is None for part in first) > 0.9 * len(first):
            return [None] * len(plain)
        parts = [*first, *map(CELL.fullmatch, plain[500:])]
        return [part if part and _is_whole(part) else None for part in parts]

    def _agree_on_units(self) -> None:
        """Keep the texts with the most frequent currency and unit, or with k and M for factors."""
        currencies, units = Counter[str](), Counter[str]()
        for part, count in zip(self.parts, self.counts.tolist(), strict=True):
            if part:
                currencies[part["currency"]] += count
                units[_singular(part["unit"])] += count
        self.currency = max((c for c in currencies if c), key=currencies.__getitem__, default="")
        self.unit = max((unit for unit in units if unit), key=units.__getitem__, default="")
        self.factors = {self.unit: 1.0} if self.unit == "%" else {self.unit: 1.0, "": 1.0}
        if len(units) > 1 and units.keys() <= FACTORS.keys():
            self.factors = {unit: FACTORS[unit] for unit in units}
        self.parts = [part if part and self._agrees(part) else None for part in self.parts]

    def _agrees(self, part: re.Match[str]) -> bool:
        is_known = _singular(part["unit"]) in self.factors
        return is_known and part["currency"] in (self.currency, "")

    def _fits(self, mark: str) -> np.ndarray:
        """(U,) bool: which texts are numbers with this decimal mark."""
        digits = [part["digits"] if part else "" for part in self.parts]
        return np.array([bool(DECIMAL[mark].fullmatch(text)) for text in digits], dtype=bool)

    def _find_marks(self) -> list[str]:
        """The decimal marks with which the texts can be read; both only if that is not sure."""
        # "<0.5" beside 0.5 and 1.5 is a number that is not known exactly.
        bounds = [bool(part is None and BOUND.fullmatch(text.translate(TRANSLATION).strip()))
                  for part, text in zip(self.parts, self.texts, strict=True)]  # fmt: skip
        num_cells = max(1, self.counts[~self.is_gap].sum())
        bounded = self.counts[np.array(bounds, dtype=bool)].sum() / num_cells
        shares = {mark: self.counts[fits].sum() / num_cells for mark, fits in self.fits.items()}
        best = max(shares.values())
        if best + min(bounded, best) < ENOUGH or best == 0:
            return []
        return [mark for mark, share in shares.items() if share == best]

    @property
    def is_ambiguous(self) -> bool:
        """Whether a point or comma in them may be a decimal mark or one of thousands."""
        return len(self.marks) > 1 and any(
            part and ("." in part["digits"] or "," in part["digits"]) for part in self.parts
        )

    def values(self, mark: str) -> np.ndarray:
        """(U,) float64, with this decimal mark; NaN for gaps and for what is no number."""
        pairs = zip(self.parts, self.fits[mark].tolist(), strict=True)
        values = [self._value(part, mark) if part and fits else np.nan for part, fits in pairs]
        return np.array(values, dtype=np.float64)

    def _value(self, part: re.Match[str], mark: str) -> float:
        digits = part["digits"].translate(TO_FLOAT[mark])
        value = float(digits + (part["exponent"] or "")) * self.factors[_singular(part["unit"])]
        is_negative = part["sign"] in ("-", "(") or part["inner"] == "-" or part["end"] == "-"
        return -value if is_negative else value

    def examples(self, is_meant: np.ndarray, limit: int = 3) -> str:
        """The first of some of the texts, in quotation marks; ``is_meant`` is (U,) bool."""
        return ", ".join(repr(self.texts[n]) for n in np.flatnonzero(is_meant)[:limit])


def _singular(unit: str) -> str:
    """The unit without capital letters, point and plural; K and M are factors."""
    if unit in FACTORS:  # or if there is none
        return unit
    return unit.casefold().rstrip(".").removesuffix("s") or unit


def _is_whole(part: re.Match[str]) -> bool:
    """Whether brackets are in pairs, there is one sign, and the unit is one."""
    signs = (part["sign"] in ("-", "+")) + bool(part["inner"]) + (part["end"] == "-")
    unit = part["unit"]
    pair = (part["sign"] == "(") == (part["end"] == ")")
    return pair and signs <= 1 and (not unit or bool(IS_UNIT.search(unit)))
