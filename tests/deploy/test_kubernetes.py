"""The Kubernetes manifests: the API's own schemas, strictly, and the rules no schema knows."""

import copy
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import kubernetes_validate
import pytest
import yaml

from proxy.config.settings import Environment

Document = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "deploy/kubernetes"
# The first version with native sidecars switched on, and the newest the verifier knows.
VERSIONS = ("1.29", kubernetes_validate.latest_version().removesuffix(".0"))
ADMIN_PORT = 9090
# What the SDKs read, and the public path each has to end in.
SDK_VARIABLES = {
    "DASHSCOPE_BASE_URL": "http://{listen}/api/v1",
    "DASHSCOPE_COMPATIBLE_BASE_URL": "http://{listen}/compatible-mode/v1",
    "DASHSCOPE_HTTP_BASE_URL": "http://{listen}/api/v1",
    "DASHSCOPE_WEBSOCKET_BASE_URL": "ws://{listen}/api-ws/v1/inference",
}


class Shape(NamedTuple):
    name: str
    documents: list[Document]
    secrets: dict[str, set[str]]

    def one(self, kind: str) -> Document:
        (document,) = [document for document in self.documents if document["kind"] == kind]
        return document

    @property
    def template(self) -> Document:
        template: Document = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def pod(self) -> Document:
        pod: Document = self.template["spec"]
        return pod

    @property
    def containers(self) -> list[Document]:
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]

    @property
    def server(self) -> Document:
        """The container that serves: the one that may hold the upstream key."""
        (server,) = [c for c in self.containers if c.get("args") == ["serve"]]
        return server


def load(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def read(name: str) -> Shape:
    folder = MANIFESTS / name
    documents = [d for path in sorted(folder.glob("*.yaml")) for d in load(path)]
    examples = load(folder / "secret.yaml.example")
    return Shape(
        name,
        documents,
        {example["metadata"]["name"]: set(example["stringData"]) for example in examples},
    )


SHAPES = {name: read(name) for name in ("edge", "sidecar")}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


@pytest.fixture
def edge() -> Shape:
    return SHAPES["edge"]


@pytest.fixture
def sidecar() -> Shape:
    return SHAPES["sidecar"]


@pytest.fixture
def application(sidecar: Shape) -> Document:
    (application,) = sidecar.pod["containers"]
    found: Document = application
    return found


def values(container: Document) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def references(container: Document) -> dict[str, tuple[str, str]]:
    return {
        entry["name"]: (
            entry["valueFrom"]["secretKeyRef"]["name"],
            entry["valueFrom"]["secretKeyRef"]["key"],
        )
        for entry in container["env"]
        if "valueFrom" in entry
    }


def ports(container: Document) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container.get("ports", ())}


def volumes(shape: Shape) -> dict[str, Document]:
    return {volume["name"]: volume for volume in shape.pod["volumes"]}


def mounts(container: Document) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


def volume_under(shape: Shape, container: Document, path: str) -> Document:
    """The volume a path of a container lies in."""
    inside = [
        name
        for mount, name in mounts(container).items()
        if PurePosixPath(path).is_relative_to(mount)
    ]
    assert inside, f"{path} is on the read-only root of {container['name']}"
    return volumes(shape)[inside[0]]


def selectors(document: Document) -> Iterator[dict[str, str]]:
    """The pods a document means, wherever its kind says so."""
    spec = document["spec"]
    match document["kind"]:
        case "Deployment":
            yield spec["selector"]["matchLabels"]
            for spread in spec["template"]["spec"].get("topologySpreadConstraints", ()):
                yield spread["labelSelector"]["matchLabels"]
        case "Service":
            yield spec["selector"]
        case "NetworkPolicy":
            yield spec["podSelector"]["matchLabels"]
        case "PodDisruptionBudget":
            yield spec["selector"]["matchLabels"]
        case kind:
            pytest.fail(f"{kind} is new here: say how it selects pods")


# -- the verifier ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "path",
    sorted([*MANIFESTS.rglob("*.yaml"), *MANIFESTS.rglob("*.example")]),
    ids=lambda path: str(path.relative_to(MANIFESTS)),
)
def test_schema(path: Path, version: str) -> None:
    """The oldest and the newest API take each document, and know every field in it."""
    documents = load(path)
    assert documents
    for document in documents:
        assert kubernetes_validate.validate(document, version, strict=True) == version


@pytest.mark.parametrize("version", VERSIONS)
def test_verifier_is_awake(sidecar: Shape, version: str) -> None:
    """A misspelt field deep in the pod is refused, so the acceptance above means something."""
    broken = copy.deepcopy(sidecar.one("Deployment"))
    server = broken["spec"]["template"]["spec"]["initContainers"][-1]
    server["readynessProbe"] = server.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(broken, version, strict=True)


# -- both shapes -----------------------------------------------------------------------------------


def test_shapes_are_complete(edge: Shape, sidecar: Shape) -> None:
    """Each shape brings what it needs to run and to be reached by nobody else."""
    kinds = ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"]
    assert [document["kind"] for document in edge.documents] == kinds
    assert [document["kind"] for document in sidecar.documents] == ["Deployment", "NetworkPolicy"]


def test_selectors_select(shape: Shape) -> None:
    """Whatever selects pods selects the pods of this shape."""
    labels = shape.template["metadata"]["labels"].items()
    for document in shape.documents:
        for selector in selectors(document):
            assert selector
            assert selector.items() <= labels, document["kind"]


def test_only_known_settings(shape: Shape, settings: frozenset[str]) -> None:
    """The proxy is given nothing it would not read, nor the application beyond its SDK."""
    for container in shape.containers:
        ours = container["image"].startswith("dashscope-proxy:")
        known = settings if ours else {*SDK_VARIABLES, "DASHSCOPE_API_KEY"}
        names = [entry["name"] for entry in container["env"]]
        assert set(names) <= known, container["name"]
        assert len(names) == len(set(names)), container["name"]
        assert "envFrom" not in container


def test_values_are_taken(
    shape: Shape, accepted: Callable[[Mapping[str, str]], Environment]
) -> None:
    """The proxy's own configuration takes every value, the example Secret's too."""
    examples = load(MANIFESTS / shape.name / "secret.yaml.example")
    secrets = {
        (example["metadata"]["name"], key): value
        for example in examples
        for key, value in example["stringData"].items()
    }
    for container in shape.containers:
        if container["image"].startswith("dashscope-proxy:"):
            resolved = {name: secrets[ref] for name, ref in references(container).items()}
            assert accepted(values(container) | resolved).store


def test_secrets_exist(shape: Shape) -> None:
    """Each reference to a Secret meets a key of the example; each key there is used."""
    used = {reference for c in shape.containers for reference in references(c).values()}
    for volume in volumes(shape).values():
        if "secret" in volume:
            items = volume["secret"]["items"]
            used |= {(volume["secret"]["secretName"], item["key"]) for item in items}
    assert used == {(name, key) for name, keys in shape.secrets.items() for key in keys}


def test_no_secret_is_applied(shape: Shape) -> None:
    """`kubectl apply -f` of the folder cannot replace a Secret; the example has placeholders."""
    assert "Secret" not in {document["kind"] for document in shape.documents}
    for example in load(MANIFESTS / shape.name / "secret.yaml.example"):
        assert all("replace-me" in value for value in example["stringData"].values())


def test_upstream_key_is_the_servers_alone(shape: Shape) -> None:
    """Only the serving container sees the upstream key, be it by file, variable or /proc."""
    server = shape.server
    key_file = values(server)["DASHSCOPE_API_KEY_FILE"]
    volume = volume_under(shape, server, key_file)
    assert [item["path"] for item in volume["secret"]["items"]] == [PurePosixPath(key_file).name]
    secret, (key,) = volume["secret"]["secretName"], [i["key"] for i in volume["secret"]["items"]]
    for container in shape.containers:
        assert (secret, key) not in references(container).values()
        assert "DASHSCOPE_API_KEY" not in values(container)
        assert container is server or volume["name"] not in mounts(container).values()
    assert [v["name"] for v in volumes(shape).values() if "secret" in v] == [volume["name"]]
    assert not shape.pod.get("shareProcessNamespace")
    assert not shape.pod.get("hostPID")


def test_images_are_pinned(shape: Shape, image: str) -> None:
    """Our image carries the version of this tree, any other a version of its own."""
    for container in shape.containers:
        name, _, tag = container["image"].partition(":")
        assert container["image"] == image or name != "dashscope-proxy"
        assert re.match(r"\d+\.\d+\.\d+", tag), container["image"]


def test_probes_ask_the_admin_listener(shape: Shape) -> None:
    """All probes ask the admin listener, where the kubelet can; liveness is not readiness."""
    server = shape.server
    host, _, port = values(server)["PROXY_ADMIN_LISTEN"].rpartition(":")
    assert (host, int(port)) == ("0.0.0.0", ADMIN_PORT)  # noqa: S104 - the pod's address, not ours
    asked = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        question = server[probe]["httpGet"]
        assert ports(server)[question["port"]] == ADMIN_PORT
        assert "host" not in question
        asked[probe] = question["path"]
    assert asked["livenessProbe"] == "/healthz"
    assert asked["readinessProbe"] == "/readyz"
    assert asked["startupProbe"] in {"/healthz", "/readyz"}


def test_admin_port_is_closed(shape: Shape) -> None:
    """No rule opens the admin port to everybody, one opens it to somebody named."""
    spec = shape.one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    opened = [
        rule.get("from")
        for rule in spec["ingress"]
        for port in rule["ports"]
        if port["protocol"] == "TCP"
        and port["port"] <= ADMIN_PORT <= port.get("endPort", port["port"])
    ]
    assert opened
    assert all(opened)
    services = [document for document in shape.documents if document["kind"] == "Service"]
    for port in (port for service in services for port in service["spec"]["ports"]):
        assert ports(shape.server)[port["targetPort"]] != ADMIN_PORT


def test_pods_are_restricted(shape: Shape) -> None:
    """Every pod satisfies the restricted Pod Security Standard, and has a read-only root beside."""
    security = shape.pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not [key for key in shape.pod if key.startswith("host")]
    assert {k for v in volumes(shape).values() for k in v} <= {"name", "emptyDir", "secret"}
    for container in shape.containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not [port for port in container.get("ports", ()) if "hostPort" in port]


def test_user_is_the_images(shape: Shape) -> None:
    """The pod runs as the image's user, and owns the Secret's file through the group."""
    (user,) = re.findall(
        r"^USER (.+)$", (MANIFESTS.parent / "Dockerfile").read_text(), re.MULTILINE
    )
    security = shape.pod["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
    assert security["fsGroup"] == security["runAsGroup"]


def test_cluster_api_is_out_of_reach(shape: Shape) -> None:
    """No service account token, and no variables made from the names of Services."""
    assert shape.pod["automountServiceAccountToken"] is False
    assert shape.pod["enableServiceLinks"] is False


def test_resources_are_stated(shape: Shape) -> None:
    """Each container says what it needs and how much memory it may take; no CPU limit."""
    for container in shape.containers:
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert "memory" in resources["limits"]
        assert "cpu" not in resources["limits"]


def test_writable_paths(shape: Shape) -> None:
    """Temporary files and state go to volumes, each with a limit; every volume is used."""
    for container in shape.containers:
        if container["image"].startswith("dashscope-proxy:"):
            for path in (values(container)["TMPDIR"], "/var/lib/dashscope-proxy"):
                assert volume_under(shape, container, path)["emptyDir"]["sizeLimit"]
    assert all(v["emptyDir"]["sizeLimit"] for v in volumes(shape).values() if "emptyDir" in v)
    used = {name for container in shape.containers for name in mounts(container).values()}
    assert used == set(volumes(shape))


def test_spool_fits(shape: Shape, accepted: Callable[[Mapping[str, str]], Environment]) -> None:
    """Spooled bodies fit into the volume they go to, and that into the container's allowance."""
    server = shape.server
    unit = {"Mi": 1024**2, "Gi": 1024**3}

    def size(quantity: str) -> int:
        return int(quantity[:-2]) * unit[quantity[-2:]]

    limit = volume_under(shape, server, values(server)["TMPDIR"])["emptyDir"]["sizeLimit"]
    spool = accepted({"PROXY_SPOOL": values(server)["PROXY_SPOOL"]}).spool
    assert spool < size(limit) < size(server["resources"]["limits"]["ephemeral-storage"])


def test_grace_covers_the_drain(shape: Shape) -> None:
    """The kubelet waits longer than preStop and drain together."""
    server = shape.server
    hook = server.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
    drain = int(values(server)["PROXY_DRAIN"])
    assert shape.pod["terminationGracePeriodSeconds"] > int(hook[1]) + drain


# -- the edge --------------------------------------------------------------------------------------


def test_edge_is_replaced_without_a_gap(edge: Shape) -> None:
    """Two replicas or more, none fewer in a rollout, one at a time in a node drain."""
    spec = edge.one("Deployment")["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["strategy"]["rollingUpdate"]["maxSurge"] >= 1
    assert 0 < edge.one("PodDisruptionBudget")["spec"]["maxUnavailable"] < spec["replicas"]
    assert edge.server["lifecycle"]["preStop"]["exec"]["command"][0] == "sleep"
    spread = {rule["topologyKey"] for rule in edge.pod["topologySpreadConstraints"]}
    assert spread == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_edge_shares_its_store(edge: Shape) -> None:
    """Replicas share one store, and its URL, which holds a password, comes from the Secret."""
    secret, key = references(edge.server)["PROXY_STORE"]
    (example,) = load(MANIFESTS / "edge/secret.yaml.example")
    assert example["metadata"]["name"] == secret
    assert re.match(r"rediss?://", example["stringData"][key])


def test_edge_outlives_redis(
    edge: Shape, accepted: Callable[[Mapping[str, str]], Environment]
) -> None:
    """Redis away turns all pods unready at once: none leaves while it can still serve."""
    probe = edge.server["readinessProbe"]
    outage = accepted(values(edge.server)).staleness
    assert probe["periodSeconds"] * probe["failureThreshold"] >= outage


def test_edge_service_reaches_the_listener(edge: Shape) -> None:
    """The Service leads to the public listener, and the policy lets everybody there."""
    (port,) = edge.one("Service")["spec"]["ports"]
    target = ports(edge.server)[port["targetPort"]]
    assert values(edge.server)["PROXY_LISTEN"] == f"0.0.0.0:{target}"
    rules = edge.one("NetworkPolicy")["spec"]["ingress"]
    assert {"ports": [{"port": target, "protocol": "TCP"}]} in rules


# -- the sidecar -----------------------------------------------------------------------------------


def test_sidecar_is_native(sidecar: Shape, application: Document) -> None:
    """The token is imported, then the proxy comes up and stays, then the application starts."""
    first, second = sidecar.pod["initContainers"]
    assert first["args"][:2] == ["token", "import"]
    assert "restartPolicy" not in first
    assert second is sidecar.server
    assert second["restartPolicy"] == "Always"
    assert second["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert application["image"].split(":")[0] != "dashscope-proxy"


def test_sidecar_listens_on_loopback(sidecar: Shape) -> None:
    """Only this pod can call the proxy."""
    assert values(sidecar.server)["PROXY_LISTEN"].startswith("127.0.0.1:")


def test_sidecar_store_is_embedded(sidecar: Shape) -> None:
    """The import and the proxy open the same file, by an absolute path, in the same volume."""
    first, second = sidecar.pod["initContainers"]
    store = values(second)["PROXY_STORE"]
    assert values(first)["PROXY_STORE"] == store
    path = store.removeprefix("sqlite://")
    assert path.startswith("/")
    assert volume_under(sidecar, first, path) == volume_under(sidecar, second, path)


def test_import_names_models(sidecar: Shape) -> None:
    """The application's token allows the models that are named, in the form the command takes."""
    name, *options = sidecar.pod["initContainers"][0]["args"][2:]
    assert re.fullmatch(r"[a-z-]+", name)
    pairs = list(zip(options[::2], options[1::2], strict=True))
    assert {option for option, _ in pairs} == {"--tenant", "--model"}


def test_application_holds_the_imported_token(sidecar: Shape, application: Document) -> None:
    """What the application calls its key is the token the store was told."""
    imported = references(sidecar.pod["initContainers"][0])["PROXY_IMPORT_TOKEN"]
    assert references(application) == {"DASHSCOPE_API_KEY": imported}
    assert "PROXY_IMPORT_TOKEN" not in references(sidecar.server)


def test_application_calls_the_sidecar(sidecar: Shape, application: Document) -> None:
    """Each base URL of the SDKs is the sidecar's listener, with the public path of its protocol."""
    listen = values(sidecar.server)["PROXY_LISTEN"]
    assert values(application) == {
        name: url.format(listen=listen) for name, url in SDK_VARIABLES.items()
    }


def test_sidecar_policy_spares_the_application(sidecar: Shape) -> None:
    """Every port but the admin port stays as reachable as it was without the policy."""
    everybody = [
        (port["protocol"], port["port"], port["endPort"])
        for rule in sidecar.one("NetworkPolicy")["spec"]["ingress"]
        if "from" not in rule
        for port in rule["ports"]
    ]
    assert everybody == [
        ("TCP", 1, ADMIN_PORT - 1),
        ("TCP", ADMIN_PORT + 1, 65535),
        ("UDP", 1, 65535),
    ]


def test_the_real_sdk_reads_the_variables(application: Document, tmp_path: Path) -> None:
    """The published SDK, given the manifest's variables, aims each of its bases at them."""
    script = (
        "import dashscope; config = dashscope.Client().config; "
        "print(dashscope.base_http_api_url, dashscope.base_websocket_api_url, "
        "dashscope.base_compatible_api_url, config.base_url, dashscope.api_key, config.api_key)"
    )
    environment = values(application)
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "DASHSCOPE_API_KEY": "made-up", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [
        environment["DASHSCOPE_HTTP_BASE_URL"],
        environment["DASHSCOPE_WEBSOCKET_BASE_URL"],
        environment["DASHSCOPE_COMPATIBLE_BASE_URL"],
        environment["DASHSCOPE_BASE_URL"],
        "made-up",
        "made-up",
    ]
