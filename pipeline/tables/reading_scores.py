"""scores.csv, preferences.csv, readers.csv and agreement.csv: results of a reader study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow, Method
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class OpinionScore:
    """The mean opinion score of a method."""

    method: Method
    readers: Annotated[int, Column("number of readers")]
    cases: Annotated[int, Column("number of slices")]
    ratings: Annotated[int, Column("number of ratings")]
    mean_opinion: Annotated[float, Column("mean opinion score, 1 to 5")]
    ci_low: CiLow
    ci_high: CiHigh


@dataclass(frozen=True)
class Preference:
    """How often a method was preferred to another, or to all others."""

    method: Method
    other: Annotated[str, Column("the other method, or 'all others'")]
    choices: Annotated[int, Column("number of choices")]
    won: Annotated[int, Column("number of choices in which the method was preferred")]
    share: Annotated[float, Column("won over choices")]
    ci_low: CiLow
    ci_high: CiHigh


@dataclass(frozen=True)
class ReaderConsistency:
    """The answers of one reader to repeated items."""

    reader: Annotated[str, Column("code of the reader")]
    ratings: Annotated[int, Column("number of ratings")]
    mean_rating: Annotated[float, Column("mean rating, 1 to 5")]
    repeated_ratings: Annotated[int, Column("number of repeated ratings")]
    same_rating: Annotated[float, Column("share of repeated ratings that are equal")]
    rating_alpha: Annotated[float, Column("Krippendorff's alpha of repeated ratings (ordinal)")]
    choices: Annotated[int, Column("number of choices")]
    first_taken: Annotated[float, Column("share of choices in which image A was preferred")]
    repeated_choices: Annotated[int, Column("number of repeated choices")]
    same_choice: Annotated[float, Column("share of repeated choices that are equal")]


@dataclass(frozen=True)
class ReaderAgreement:
    """Agreement between readers on one question."""

    question: Annotated[str, Column("rating or choice")]
    readers: Annotated[int, Column("number of readers")]
    items: Annotated[int, Column("number of items")]
    alpha: Annotated[float, Column("Krippendorff's alpha; empty for a single reader")]
    ci_low: CiLow
    ci_high: CiHigh


OPINION_SCORES = Table("mean opinion scores", OpinionScore)
PREFERENCES = Table("preferences", Preference)
READER_CONSISTENCY = Table("consistency of readers", ReaderConsistency)
READER_AGREEMENT = Table("agreement between readers", ReaderAgreement)
