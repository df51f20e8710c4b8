"""A Kubernetes control plane in the network namespace of this process: etcd, API server, controllers, scheduler, kwok for
nodes that are not there, and the LeaderWorkerSet controller. run.sh makes the namespaces, and whatever is started here ends with
them; so ports are the usual ones, and nothing here stops anything.

The programs are those of scripts/cluster-tools.sh, in $PATH by run.sh."""

import base64
import os
import pathlib
import secrets
import subprocess

import kube
from kube import run, until

ADDRESS = "10.202.0.2"  # Of the namespace's bridge, by run.sh.
SERVICES = "10.96.0.0/16"
# User, and groups: what each program may do is Kubernetes' own, but for kwok and LWS, whose roles are in their packages.
USERS = {"admin": ("admin", "system:masters"), "controllers": ("system:kube-controller-manager", ""),
         "scheduler": ("system:kube-scheduler", ""), "kwok": ("kwok", "system:masters"), "lws": ("lws", "system:masters"),
         "proxy": ("system:kube-proxy", ""), "node": ("system:node:node", "system:nodes")}


class Cluster:
    """Keys, logs and data are in `folder`."""

    def __init__(self, folder, tools):
        self.folder, self.tools = pathlib.Path(folder), pathlib.Path(tools)
        self.processes = {}
        for name in ("keys", "logs"):
            (self.folder / name).mkdir(parents=True)
        self._make_keys()
        os.environ["KUBECONFIG"] = str(self.config("admin"))
        self._start_control_plane()

    def config(self, user):
        return self.folder / f"keys/{user}.kubeconfig"

    def start(self, name, *command, **environment):
        with open(self.folder / f"logs/{name}", "w") as log:
            self.processes[name] = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                                    stderr=log, cwd=self.folder, env={**os.environ, **environment})

    def answers(self, name, condition, limit=60):
        """Waits for a process that was started, and shows its last words if it ends."""
        def alive():
            if self.processes[name].poll() is not None:
                log = (self.folder / f"logs/{name}").read_text()
                raise RuntimeError(f"{name} ended with {self.processes[name].returncode}:\n{log[-3000:]}")
            return condition()
        until(alive, f"{name} answers", limit)

    def _openssl(self, *words):
        run("openssl", *words, cwd=self.folder / "keys")

    def _make_keys(self):
        keys = self.folder / "keys"
        keys.chmod(0o700)
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=cluster", "-keyout", "ca.key", "-out", "ca.crt")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kube-apiserver", "-keyout", "tls.key", "-out", "tls.csr")
        (keys / "names").write_text(f"subjectAltName=IP:127.0.0.1,IP:{ADDRESS},DNS:localhost\n")
        self._openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", "tls.crt",
                      "-extfile", "names")
        self._openssl("genrsa", "-out", "accounts.key", "2048")
        self._openssl("rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")
        lines = []
        for file, (user, groups) in USERS.items():
            token = secrets.token_hex(16)
            lines.append(f'{token},{user},{user},"{groups}"\n')
            self.config(file).write_text(f"""apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:6443", certificate-authority: {keys}/ca.crt}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
""")
            self.config(file).chmod(0o600)
        (keys / "tokens").write_text("".join(lines))

    def _start_control_plane(self):
        self.start("etcd", "etcd", "--data-dir", "etcd", "--unsafe-no-fsync", "--log-level", "warn")
        self.start("kube-apiserver", "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--advertise-address", ADDRESS,
                   "--tls-cert-file=keys/tls.crt", "--tls-private-key-file=keys/tls.key", "--client-ca-file=keys/ca.crt",
                   "--token-auth-file=keys/tokens", "--service-account-issuer=https://kubernetes.default.svc",
                   "--service-account-key-file=keys/accounts.pub", "--service-account-signing-key-file=keys/accounts.key",
                   "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
                   "--kubelet-preferred-address-types=InternalIP", f"--service-cluster-ip-range={SERVICES}", "--endpoint-reconciler-type=none",
                   "--enable-aggregator-routing")
        self.answers("kube-apiserver", lambda: run("kubectl", "get", "--raw", "/readyz"), limit=120)
        for name, user, flags in (
                ("kube-controller-manager", "controllers", [
                    "--use-service-account-credentials", "--service-account-private-key-file=keys/accounts.key", "--root-ca-file=keys/ca.crt",
                    "--allocate-node-cidrs", "--cluster-cidr=10.244.0.0/16", f"--service-cluster-ip-range={SERVICES}",
                    "--horizontal-pod-autoscaler-sync-period=5s"]),
                ("kube-scheduler", "scheduler", [])):
            config = self.config(user)
            self.start(name, name, "--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config,
                       "--bind-address=127.0.0.1", "--leader-elect=false", *flags)

    def add_fake_nodes(self, *nodes):
        """Nodes that run whatever is placed on them, in no time: {name, labels, taints, gpus} each."""
        stages = [flag for stage in sorted([*(self.tools / "stages").glob("*.yaml"), pathlib.Path(__file__).with_name("hooks.stage.yaml")])
                  for flag in ("--config", stage)]
        self.start("kwok", "kwok", *stages, "--kubeconfig", self.config("kwok"), "--manage-all-nodes=false",
                   "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--cidr=10.200.0.0/16", f"--node-ip={ADDRESS}",
                   "--server-address=127.0.0.1:10247", "--node-lease-duration-seconds=40")
        for node in nodes:
            capacity = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
            if node.get("gpus"):
                capacity["nvidia.com/gpu"] = str(node["gpus"])
            document = {"apiVersion": "v1", "kind": "Node", "spec": {"taints": node.get("taints", [])},
                        "metadata": {"name": node["name"], "annotations": {"kwok.x-k8s.io/node": "fake"},
                                     "labels": {"kubernetes.io/hostname": node["name"], "kubernetes.io/os": "linux",
                                                "kubernetes.io/arch": "amd64", **node.get("labels", {})}},
                        "status": {"capacity": capacity, "allocatable": capacity}}
            run("kubectl", "create", "--filename", "-", input=kube.json.dumps(document))
        names = [node["name"] for node in nodes]
        self.answers("kwok", lambda: run("kubectl", "wait", "--for=condition=Ready", "--timeout=1s", "node", *names))

    def start_leader_worker_sets(self):
        """The controller and its webhooks. They are called by address: the controller is no pod."""
        run("kubectl", "apply", "--server-side", "--filename", self.tools / "crds")
        kind = "crd/leaderworkersets.leaderworkerset.x-k8s.io"
        until(lambda: run("kubectl", "wait", "--for=condition=Established", "--timeout=1s", kind), kind)
        (self.folder / "lws.yaml").write_text(f"""apiVersion: config.lws.x-k8s.io/v1alpha1
kind: Configuration
leaderElection: {{leaderElect: false}}
internalCertManagement: {{enable: false}}
webhook: {{host: 127.0.0.1, port: 9443, certDir: {self.folder}/keys}}
metrics: {{bindAddress: "0"}}
health: {{healthProbeBindAddress: "127.0.0.1:8081"}}
""")
        self.start("lws", "lws", "--config", "lws.yaml", KUBECONFIG=str(self.config("lws")))
        self.answers("lws", lambda: run("curl", "--silent", "--fail", "--max-time", "2", "http://127.0.0.1:8081/readyz"))
        self.answers("lws", lambda: run("curl", "--silent", "--insecure", "--max-time", "2", "https://127.0.0.1:9443/"))
        sets, pods = ("leaderworkerset.x-k8s.io", "leaderworkersets"), ("", "pods")
        for kind, hooks in (("Mutating", ((sets, "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset", ["CREATE", "UPDATE"]),
                                          (pods, "/mutate--v1-pod", ["CREATE"]))),
                            ("Validating", ((sets, "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset", ["CREATE", "UPDATE"]),
                                            (pods, "/validate--v1-pod", ["CREATE", "UPDATE"])))):
            document = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration", "metadata": {"name": "lws"},
                        "webhooks": [self._webhook(*hook) for hook in hooks]}
            run("kubectl", "apply", "--filename", "-", input=kube.json.dumps(document))

    def _webhook(self, resource, path, operations):
        (group, plural) = resource
        hook = {"name": f"{plural}.{path.split('-')[0][1:]}.lws.test", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail",
                "clientConfig": {"url": f"https://127.0.0.1:9443{path}",
                                 "caBundle": base64.b64encode((self.folder / "keys/ca.crt").read_bytes()).decode()},
                "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [plural]}]}
        if plural == "pods":  # As upstream has it: other pods are none of its business.
            hook["objectSelector"] = {"matchExpressions": [{"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}]}
        return hook
