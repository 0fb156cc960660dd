"""The diabetes study that scikit-learn carries (Efron et al. 2004): 442 patients, ten measurements, the disease's progress a year later."""

import pandas as pd
from sklearn.datasets import load_diabetes


def load() -> pd.DataFrame:
    return load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
