"""What a spec may not trust a stored model with."""

import pytest

from include.spec.trusted import danger

DANGEROUS = [
    *("builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__", "builtins.open", "os.system", "posix.system"),
    *("subprocess.Popen", "importlib.import_module", "pickle.loads", "marshal.loads", "ctypes.CDLL", "shutil.rmtree", "socket.socket"),
    *("operator.attrgetter", "functools.partial", "types.FunctionType", "runpy.run_path", "code.interact", "sys.exit", "pty.spawn"),
    *("cloudpickle.loads", "joblib.load", "dill.loads", "torch.load", "pandas.eval", "pandas.read_pickle", "numexpr.evaluate"),
    *("own.__class__", "eval", "", "own.Type; import os", "../own", "own..Type", "own.Type\n"),
]


@pytest.mark.parametrize("name", DANGEROUS)
def test_what_could_do_anything_is_refused(name: str) -> None:
    assert danger(name)


@pytest.mark.parametrize(
    "name", ["own.Steady", "xgboost.sklearn.XGBClassifier", "collections.OrderedDict", "features.scale", "datetime.timedelta"]
)
def test_a_type_of_a_models_own_is_not(name: str) -> None:
    assert danger(name) == ""
