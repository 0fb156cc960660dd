"""The project's price table, and an administrator's over it."""

import pytest

from include.errors import InputError
from include.prices import table


def test_one_gpu_costs_its_share_of_the_machine_and_less_at_spot_rates():
    prices = table.defaults()
    assert prices.gpu_hour("H100-80GB") == pytest.approx(98.32 / 8)
    assert prices.gpu_hour("T4") == pytest.approx(0.53)
    assert prices.gpu_hour("H100-80GB", spot=True) == pytest.approx(0.3 * 98.32 / 8)
    assert prices.gpu_hour("GB10") is None and prices.token_cost("support", 1, 1) is None


def test_a_file_stands_over_it_entry_by_entry(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("gpus: {L40S: 1.2, H100-80GB: 3}\ntokens: {'*': {prompt: 0.2, completion: 0.6}, free: {prompt: 0, completion: 0}}\n")
    prices = table.read(path)
    assert prices.gpu_hour("L40S") == 1.2 and prices.gpu_hour("H100-80GB") == 3 and prices.gpu_hour("T4") == 0.53
    assert prices.token_cost("support", 1_000_000, 500_000) == pytest.approx(0.5)
    assert prices.token_cost("free", 10, 10) == 0


def test_spot_rates_are_told_by_a_nodes_labels():
    prices = table.defaults()
    assert prices.is_spot({"node.kubernetes.io/lifecycle": "spot"}) and not prices.is_spot({"node.kubernetes.io/lifecycle": "normal"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu: {T4: 1}", "'gpu'"),
        ("gpus: {T4: -1}", "gpus.T4"),
        ("gpus: {T4: .nan}", "gpus.T4"),
        ("gpus: [1]", "gpus"),
        ("tokens: {'*': {prompt: 1}}", "tokens.*.completion"),
        ("spot: {factor: 3}", "spot.factor"),
        ("currency: dollars", "currency"),
        ("- 1", "must be a mapping"),
        ("{", "is no YAML"),
        ("instances: {x: {gpu: T4, count: 0, hour: 1}}", "instances.x.count"),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_field(tmp_path, text, names):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        table.read(path)
    assert str(path) in str(error.value) and names in str(error.value)


def test_what_is_refused_changes_nothing(tmp_path):
    path = tmp_path / "prices.yaml"
    table.write(path, {"gpus": {"T4": 0.4}})
    with pytest.raises(InputError):
        table.write(path, {"gpus": {"T4": "much"}})
    assert table.read(path).gpu_hour("T4") == 0.4 and path.stat().st_mode & 0o777 == 0o600


def test_a_changed_file_is_read_again_and_a_broken_one_leaves_the_labels_of_spot_known(tmp_path):
    path = tmp_path / "prices.yaml"
    current = table.Current(path)
    assert current.prices().gpu_hour("T4") == 0.53
    table.write(path, {"gpus": {"T4": 0.4}})
    assert current.prices().gpu_hour("T4") == 0.4
    path.write_text("{")
    assert current.is_spot({"node.kubernetes.io/lifecycle": "spot"})
