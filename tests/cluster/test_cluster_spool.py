"""The file of unwritten ids, when it is read again."""

from __future__ import annotations

import pytest

from foxapi_async import LedgerError
from foxapi_async.cluster.spool import Spool, SpooledId, read_spool


def test_a_missing_file_is_an_error(tmp_path):
    """The message has its path and the reason."""
    with pytest.raises(LedgerError, match=r"cannot read .*gone\.jsonl: No such file"):
        list(read_spool(tmp_path / "gone.jsonl"))


def test_a_line_that_was_cut_is_left_out(tmp_path):
    """The process was killed while it wrote. The id is on its stderr."""
    path = tmp_path / "unwritten-1.jsonl"
    spool = Spool(path)
    kept = SpooledId("b", "a", "task-1", 2.0)
    spool.keep([kept, SpooledId("b", "b", "task-2")])
    spool.close()
    path.write_bytes(path.read_bytes()[:-3])

    assert [kept] == list(read_spool(path))


@pytest.mark.parametrize(
    "line", ["fox", "[]", "{}", '{"batch": "b", "key": "a"}', '{"batch": "b", "key": "a", "task_id": 1}']
)
def test_a_line_that_is_no_id_is_an_error(tmp_path, line):
    """The message has its number."""
    path = tmp_path / "other.jsonl"
    path.write_text(f'{{"batch": "b", "key": "a", "task_id": "t"}}\n{line}\n')
    with pytest.raises(LedgerError, match="line 2: this is not the id of a task"):
        list(read_spool(path))
