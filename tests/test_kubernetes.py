"""scripts/kubernetes.yaml is valid, and its pods find each other; the Dockerfile copies what there is."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from harness.cluster.environment import Membership, detect
from harness.config import load
from harness.errors import UserError

ROOT = Path(__file__).parents[1]
SERVICE, JOB = yaml.safe_load_all((ROOT / "scripts" / "kubernetes.yaml").read_text())
POD = JOB["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
OLDEST = "1.29"  # as the manifest's first line says: the first one with backoffLimitPerIndex switched on


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("resource", [SERVICE, JOB], ids=["service", "job"])
def test_the_manifest_is_valid(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_every_pod_knows_itself_and_the_others_by_the_names_that_kubernetes_gives_them() -> None:
    subdomain = POD["spec"]["subdomain"]
    assert subdomain == SERVICE["metadata"]["name"]
    assert SERVICE["spec"]["selector"].items() <= POD["metadata"]["labels"].items()
    count = JOB["spec"]["completions"]
    assert JOB["spec"]["parallelism"] == count
    (port,) = CONTAINER["ports"]
    names = tuple(f"{JOB['metadata']['name']}-{i}.{subdomain}:{port['containerPort']}" for i in range(count))
    environment = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    for index in range(count):
        found = detect({**environment, "JOB_COMPLETION_INDEX": str(index)})
        assert found == Membership(names, index, "Kubernetes")


def test_harness_takes_the_command_and_a_users_mistake_fails_the_job() -> None:
    command, config, *options = CONTAINER["args"]
    option = dict(zip(options[::2], options[1::2], strict=True))
    assert (command, option["--resume"]) == ("train", "auto")
    load(config, [option["--set"]])
    assert str(Path(option["--run-dir"]).parent) in [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    rule = JOB["spec"]["podFailurePolicy"]["rules"][0]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [UserError.exit_code])


def test_the_dockerfile_copies_what_there_is_and_docker_sees_it() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert all((ROOT / source).exists() for source in sources)
    assert sources == set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
