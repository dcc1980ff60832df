"""Columns that several tables share."""

from __future__ import annotations

from typing import Annotated

from pipeline.tables.table import Column

VolumeName = Annotated[str, Column("name of the volume")]
Subject = Annotated[str, Column("subject of the volume")]
Split = Annotated[str, Column("split of the volume: train, val, test or test_within_subject")]
Method = Annotated[str, Column("method that restored the volume; reference for the reference itself")]
Region = Annotated[str, Column("region over which the metric is computed")]
Metric = Annotated[str, Column("name of the metric, a module of pipeline.metrics")]
CiLow = Annotated[float, Column("lower bound of the confidence interval")]
CiHigh = Annotated[float, Column("upper bound of the confidence interval")]
Baseline = Annotated[str, Column("method with which the row's method is compared")]
Difference = Annotated[float, Column("paired mean difference: method minus baseline")]
