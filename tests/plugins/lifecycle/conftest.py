from tests.dags.conftest import alone

__all__ = ["alone"]
