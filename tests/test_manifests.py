"""What lint's check of the manifests finds; that the repository's own pass is lint's to say."""

import copy

import pytest

from tests import manifests

GATEWAY = next(one for one in manifests.written()["gateway/gateway.yaml"] if one["kind"] == "Gateway")


def test_the_gateway_of_this_repository_passes():
    assert manifests.check(GATEWAY) == ""


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "listeners", 0, "protocl"), "HTTPS", "protocl"),
        (("spec", "listeners", 0, "port"), "443", "port"),
        (("spec", "gatewayClassName"), None, "gatewayClassName"),
    ],
)
def test_a_gateway_that_breaks_its_schema_is_found(path, value, said):
    broken = copy.deepcopy(GATEWAY)
    inner = broken
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    assert said in manifests.check(broken)


def test_an_api_that_nobody_knows_is_an_error():
    assert manifests.check({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}})


def test_an_overlay_s_namespace_reaches_every_account():
    """kustomize moves a binding's subject with its account, unless the file says a namespace of its own."""
    listed = manifests.yaml.safe_load((manifests.FOLDER / manifests.KUSTOMIZATION).read_text())["resources"]
    subjects = [subject for name in listed for one in manifests.written()[name] for subject in one.get("subjects", ())]
    assert len(subjects) >= 2 and not [subject for subject in subjects if "namespace" in subject]
