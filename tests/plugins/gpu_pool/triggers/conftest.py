from tests.plugins.gpu_pool.api.conftest import fleet, served

__all__ = ["fleet", "served"]
