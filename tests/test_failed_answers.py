"""Reports count no answer where the classifier failed."""

from __future__ import annotations

import pandas as pd

from hybridcert.reports.tables import answered


def test_only_inputs_that_were_answered_can_be_right():
    rows = pd.DataFrame({"stopped": ["failed", "all copies drawn", "target certified"]}, index=[3, 5, 7])
    assert answered(rows).tolist() == [False, True, True]
    assert answered(rows.drop(columns="stopped")).tolist() == [True] * 3
