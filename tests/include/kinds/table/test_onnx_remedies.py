"""What a refused export says would help."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from include.kinds.table.onnx_remedies import helps


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC())), "calibrate the last one alone"),
        (CalibratedClassifierCV(LinearSVC()), ""),
        (SimpleImputer(missing_values=-1), "Make -1 a missing value in the data source (`data.csv.missing`"),
        (SimpleImputer(missing_values=np.nan), ""),
        (SimpleImputer(missing_values="", strategy="constant"), ""),
    ],
    ids=str,
)
def test_the_setting_that_the_export_lacks_is_named(part: object, said: str) -> None:
    assert said in helps(part) if said else helps(part) == ""
