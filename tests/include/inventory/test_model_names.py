import pytest

from include.estimate.engines import gpu_names
from include.inventory.model_names import known_memory_mib, short_name


@pytest.mark.parametrize(
    ("driver", "memory_mib", "short"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "H100-80GB"),
        ("NVIDIA-H100-80GB-HBM3", 0, "H100-80GB"),
        ("NVIDIA H100 PCIe", 81559, "H100-80GB"),
        ("NVIDIA H100 NVL", 95830, "H100-94GB"),
        ("NVIDIA H200", 143771, "H200-141GB"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100-80GB"),
        ("NVIDIA A100-PCIE-40GB", 40960, "A100-40GB"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 0, "A100-40GB"),
        ("NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", 0, "A100-40GB"),
        ("Tesla V100-SXM2-32GB", 32768, "V100-32GB"),
        ("Tesla T4", 15360, "T4"),
        ("Tesla-T4-SHARED", 15360, "T4"),
        ("NVIDIA L40S", 46068, "L40S"),
        ("NVIDIA A10G", 23028, "A10G"),
        ("NVIDIA GeForce RTX 4090", 24564, "RTX-4090"),
        ("NVIDIA GeForce RTX 3090 Ti", 24564, "RTX-3090-Ti"),
        ("NVIDIA B200", 183359, "B200"),
        ("", 0, "GPU"),
    ],
)
def test_the_name_of_a_driver_becomes_short(driver, memory_mib, short):
    assert short_name(driver, memory_mib) == short


def test_a_short_name_stays_as_it_is():
    assert [short_name(name, known_memory_mib(name)) for name in gpu_names()] == gpu_names()


def test_a_model_whose_name_begins_like_a_known_one_is_another():
    assert known_memory_mib("H100-80GB") == 81559
    assert known_memory_mib("A10X") == known_memory_mib("nothing") == 0
