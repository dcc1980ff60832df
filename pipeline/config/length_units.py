"""Units of length as image files write them: OME-XML and ImageJ by symbols, OME-NGFF by the names of UDUNITS.

Sources: UnitsLength in the schema of OME, version 2016-06 (https://www.openmicroscopy.org/Schemas/), and the units of
space in OME-NGFF 0.5 (https://ngff.openmicroscopy.org).
"""

from __future__ import annotations

PREFIXES = {
    ("Y", "yotta"): 1e24,
    ("Z", "zetta"): 1e21,
    ("E", "exa"): 1e18,
    ("P", "peta"): 1e15,
    ("T", "tera"): 1e12,
    ("G", "giga"): 1e9,
    ("M", "mega"): 1e6,
    ("k", "kilo"): 1e3,
    ("h", "hecto"): 1e2,
    ("da", "deca"): 1e1,
    ("", ""): 1.0,
    ("d", "deci"): 1e-1,
    ("c", "centi"): 1e-2,
    ("m", "milli"): 1e-3,
    ("\N{MICRO SIGN}", "micro"): 1e-6,
    ("n", "nano"): 1e-9,
    ("p", "pico"): 1e-12,
    ("f", "femto"): 1e-15,
    ("a", "atto"): 1e-18,
    ("z", "zepto"): 1e-21,
    ("y", "yocto"): 1e-24,
}
"""Symbol and name of every decimal prefix."""
OTHERS = {
    ("\N{LATIN CAPITAL LETTER A WITH RING ABOVE}", "angstrom", "angstroms"): 1e-10,
    ("thou", "mil"): 0.0254e-3,
    ("li", "line"): 0.0254 / 12,
    ("in", "inch", "inches", '"'): 0.0254,
    ("ft", "foot", "feet"): 0.3048,
    ("yd", "yard", "yards"): 0.9144,
    ("mi", "mile", "miles"): 1609.344,
    ("pt", "point"): 0.0254 / 72,
    ("ua", "au", "astronomical_unit"): 149597870700.0,
    ("ly", "light_year"): 9460730472580800.0,
    ("pc", "parsec", "parsecs"): 3.0856775814913673e16,
    ("um", "micron", "microns"): 1e-6,
}
"""Metres in units without a decimal prefix, and in the names that programs have given to the micrometre."""
NO_LENGTHS = frozenset({"", "pixel", "pixels", "reference frame"})
"""Units of files with unknown pixel size."""
_METRES = {
    **{f"{symbol}m": factor for (symbol, _), factor in PREFIXES.items()},
    **{f"{name}{m}": factor for (_, name), factor in PREFIXES.items() for m in ("meter", "meters", "metre", "metres")},
    **{name: factor for names, factor in OTHERS.items() for name in names},
}
LONGEST_SYMBOL = 4
"""Maximum length of a symbol; longer units are names, which are case-insensitive."""
SAME_SIGNS = str.maketrans(
    "\N{GREEK SMALL LETTER MU}\N{ANGSTROM SIGN}", "\N{MICRO SIGN}\N{LATIN CAPITAL LETTER A WITH RING ABOVE}"
)
"""Unicode has two signs each for micro and for angstrom."""


def micrometres_in(unit: str) -> float | None:
    """Return the number of micrometres per unit of length.

    Args:
        unit: symbol ("nm") or name ("nanometer"); upper and lower case matter in symbols, "Mm" is no "mm".

    Returns:
        None if the unit is unknown, or states that the length is unknown ("pixel").
    """
    text = unit.strip().translate(SAME_SIGNS)
    metres = _METRES.get(text.lower() if len(text) > LONGEST_SYMBOL else text)
    return None if metres is None else float(f"{metres * 1e6:.15g}")  # without the error of the multiplication
