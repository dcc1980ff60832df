"""Tables: CSV files are written and read by one declaration of their columns."""

from __future__ import annotations

import importlib
import math
import pkgutil

import pytest

import pipeline.tables
from pipeline.errors import UserError
from pipeline.tables.gates import GATES, GateResult
from pipeline.tables.history import HISTORY, write_history
from pipeline.tables.table import Table
from pipeline.tables.tissue import TISSUE, TissueVolume

MODULES = [
    importlib.import_module(f"pipeline.tables.{one.name}") for one in pkgutil.iter_modules(pipeline.tables.__path__)
]
TABLES = {name: value for module in MODULES for name, value in vars(module).items() if isinstance(value, Table)}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_type_and_a_description(name):
    table = TABLES[name]
    assert list(table.frame().columns) == list(table.columns) == list(table.dtypes)
    assert all(column.description for column in table.descriptions.values())


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [
        GateResult("007", "NA", "test", "nan", "local", 1 / 3, 2.0, True),
        GateResult("a,b", "", "val", "bicubic", "shift", math.nan, math.inf, False),
    ]
    GATES.write(tmp_path / "gates.csv", rows)
    text = (tmp_path / "gates.csv").read_text()
    assert text.splitlines()[1] == "007,NA,test,nan,local,0.333333333,2,true"
    assert text.splitlines()[2] == '"a,b",,val,bicubic,shift,,inf,false'
    first, second = GATES.read_rows(tmp_path / "gates.csv")
    assert first == GateResult("007", "NA", "test", "nan", "local", 0.333333333, 2.0, True)
    assert math.isnan(second.value) and second.limit == math.inf and second.passed is False


def test_a_table_without_rows_keeps_its_columns_and_types(tmp_path):
    TISSUE.write(tmp_path / "tissue.csv", [])
    assert (tmp_path / "tissue.csv").read_text() == ",".join(TISSUE.columns) + "\n"
    assert (
        TISSUE.read(tmp_path / "tissue.csv").dtypes.astype(str).to_dict() == TISSUE.frame().dtypes.astype(str).to_dict()
    )


@pytest.mark.parametrize("text", ["", "volume,subject\n", "a" * 9, "\x00\xff"])
def test_other_files_are_refused_with_one_message(tmp_path, text):
    path = tmp_path / "tissue.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="tissue volumes") as caught:
        TISSUE.read(path)
    assert str(path) in str(caught.value) and "Delete it and run again." in str(caught.value)


def test_a_damaged_number_is_a_mistake_in_the_file(tmp_path):
    row = TissueVolume("v", "s", "test", "m", "csf", 1.5, 2.5, 0.5)
    TISSUE.write(tmp_path / "tissue.csv", [row])
    text = (tmp_path / "tissue.csv").read_text()
    (tmp_path / "tissue.csv").write_text(text.replace("2.5", "many"))
    with pytest.raises(UserError, match="cannot read"):
        TISSUE.read(tmp_path / "tissue.csv")


def test_other_columns_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="the columns are"):
        TISSUE.write(tmp_path / "tissue.csv", GATES.frame())


def test_a_history_has_further_columns(tmp_path):
    write_history(tmp_path / "history.csv", [{"step": 10, "learning_rate": 1e-4, "loss_l1": 0.5, "loss": 0.5}])
    table = HISTORY.read(tmp_path / "history.csv")
    assert list(table.columns) == ["step", "learning_rate", "loss_l1", "loss"]
    assert table["loss_l1"].dtype == "float64"
    write_history(tmp_path / "history.csv", [])
    assert HISTORY.read(tmp_path / "history.csv").empty
