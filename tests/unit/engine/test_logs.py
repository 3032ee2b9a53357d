import math

from tinyscope.engine.logs import CsvLog, TensorBoardLog, read_rows


def test_rows_come_back_as_the_same_floats(tmp_path):
    log = CsvLog(tmp_path / "m.csv", 0)
    values = {"loss": 0.1 + 0.2, "rate": 1e-30, "bad": math.nan}
    log.write(1, values)
    (row,) = read_rows(tmp_path / "m.csv")
    assert float(row["loss"]) == 0.1 + 0.2
    assert float(row["rate"]) == 1e-30
    assert math.isnan(float(row["bad"]))


def test_a_resumed_log_loses_later_and_half_written_rows(tmp_path):
    path = tmp_path / "m.csv"
    log = CsvLog(path, 0)
    for step in range(1, 6):
        log.write(step, {"loss": step / 3})
    whole = path.read_bytes()
    with path.open("a") as file:
        file.write("6,0.1")  # the kill came here
    resumed = CsvLog(path, 3)
    for step in (4, 5):
        resumed.write(step, {"loss": step / 3})
    assert path.read_bytes() == whole


def test_a_new_run_starts_a_new_log(tmp_path):
    path = tmp_path / "m.csv"
    CsvLog(path, 0).write(1, {"loss": 1.0})
    log = CsvLog(path, 0)
    assert not path.exists()
    log.write(1, {"other": 2.0})
    assert path.read_text() == "step,other\n1,2.0\n"


def test_a_late_name_becomes_a_column_also_after_a_resume(tmp_path):
    path = tmp_path / "m.csv"
    log = CsvLog(path, 0)
    log.write(1, {"a": 1.0})
    log.write(2, {"a": 1.0, "b": 2.0})
    log.write(3, {"a": 3.0})
    assert path.read_text() == "step,a,b\n1,1.0,\n2,1.0,2.0\n3,3.0,\n"
    resumed = CsvLog(path, 1)
    resumed.write(2, {"a": 1.0, "b": 2.0})
    resumed.write(3, {"a": 3.0})
    assert path.read_text() == "step,a,b\n1,1.0,\n2,1.0,2.0\n3,3.0,\n"


def test_tensorboard_is_no_must(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    log = TensorBoardLog(tmp_path / "tb", 0)
    log.write(1, {"loss": 1.0})
    log.close()
    assert not (tmp_path / "tb").exists()
