"""The UCI handwritten digits that scikit-learn carries: 1797 images of 8 x 8 pixels, each 0 (paper) to 16 (ink)."""

import pandas as pd
from sklearn.datasets import load_digits


def load() -> pd.DataFrame:
    images = load_digits(as_frame=True)
    ink = images.data.mean(axis=1)
    # Thin and thick writing: the model never sees this column, the gate compares the two.
    return images.frame.rename(columns={"target": "digit"}).assign(stroke=(ink > ink.median()).map({True: "thick", False: "thin"}))
