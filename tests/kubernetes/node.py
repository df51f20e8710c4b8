"""A node in the namespaces of this process: kubelet, containerd and runc, a bridge for pods, kube-proxy, and CoreDNS for the names of
Services. Needs root, and Debian's containerd, runc, containernetworking-plugins, iptables and conntrack (setup.sh cluster)."""

import hashlib
import io
import json
import os
import pathlib
import signal
import tarfile

from cluster import ADDRESS
from kube import run, until

NAME = "node"
PAUSE = "localhost/pause:1"
# What a kubelet sets for its whole machine: it finds these files in their place, which say that it is done.
KERNEL = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
          "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}
CONTAINERD = """version = 2
root = "{folder}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
                    "io.containerd.snapshotter.v1.aufs"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true  # runc may not lower it where CAP_SYS_RESOURCE is missing.
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""
NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.240.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
resolvConf: {folder}/resolv.conf
clusterDNS: [{address}]
clusterDomain: cluster.local
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
"""
NAMES = """cluster.local:53 {{
  errors
  kubernetes cluster.local {{
    kubeconfig {config}
  }}
}}
"""


def _tar(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            out.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def make_image(archive, reference, files, base=None):
    """Writes an OCI archive of an image: that of the archive `base`, or an empty one that runs /program, and over it these files."""
    blobs = {}
    if base:
        with tarfile.open(base) as old:
            blobs = {member.name: old.extractfile(member).read() for member in old if member.isfile()}
    read = lambda descriptor: json.loads(blobs["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")])
    manifest = read(json.loads(blobs["index.json"])["manifests"][0]) if base else {"schemaVersion": 2, "layers": []}
    config = read(manifest["config"]) if base else {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/program"]},
                                                    "rootfs": {"type": "layers", "diff_ids": []}}

    def blob(media, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{media}", "digest": f"sha256:{digest}", "size": len(data)}

    layer = blob("layer.v1.tar", _tar(files))
    manifest["layers"].append(layer)
    config["rootfs"]["diff_ids"].append(layer["digest"])
    config.pop("history", None)
    manifest["config"] = blob("config.v1+json", json.dumps(config).encode())
    entry = blob("manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": reference}
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    archive.write_bytes(_tar(blobs))


def start(cluster, images):
    """A ready node with the images of these OCI archives."""
    folder = cluster.folder / "node"
    for name in ("cni", "kernel"):
        (folder / name).mkdir(parents=True)
    for place in ("/run", "/var/lib/cni", "/var/log/pods", "/var/log/containers"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
    for i, (key, value) in enumerate(KERNEL.items()):
        (folder / f"kernel/{i}").write_text(f"{value}\n")
        run("mount", "--bind", folder / f"kernel/{i}", f"/proc/sys/{key}")
    run("mount", "--make-rshared", "/")
    for controller in cgroups():
        (controller / os.environ["UNMASK_CGROUP"]).mkdir()

    (folder / "containerd.toml").write_text(CONTAINERD.format(folder=folder, pause=PAUSE))
    (folder / "cni/pods.conflist").write_text(json.dumps(NETWORK))
    (folder / "kubelet.yaml").write_text(KUBELET.format(folder=folder, address=ADDRESS, cgroup=os.environ["UNMASK_CGROUP"]))
    (folder / "Corefile").write_text(NAMES.format(config=cluster.config("admin")))
    (folder / "resolv.conf").write_text("")
    cluster.start("containerd", "containerd", "--config", folder / "containerd.toml")
    cluster.answers("containerd", lambda: run("ctr", "version"))
    make_image(folder / "pause.tar", PAUSE, {"program": (cluster.tools / "pause").read_bytes()})
    for image in (folder / "pause.tar", *images):
        run("ctr", "--namespace", "k8s.io", "images", "import", image, limit=120)
    cluster.start("coredns", "coredns", "-conf", folder / "Corefile")
    cluster.start("kubelet", "kubelet", "--config", folder / "kubelet.yaml", "--kubeconfig", cluster.config("node"), "--hostname-override", NAME,
                  "--node-ip", ADDRESS, "--root-dir", folder / "kubelet", "--cert-dir", folder / "kubelet-keys")
    cluster.start("kube-proxy", "kube-proxy", "--kubeconfig", cluster.config("proxy"), "--hostname-override", NAME, "--proxy-mode=iptables",
                  "--cluster-cidr=10.244.0.0/16", "--conntrack-max-per-core=0", "--conntrack-min=0",
                  "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
    cluster.answers("kubelet", lambda: run("kubectl", "wait", "--for=condition=Ready", "--timeout=1s", f"node/{NAME}"), limit=120)


def name_image(image, other):
    run("ctr", "--namespace", "k8s.io", "images", "tag", "--force", image, other)


def cgroups():
    """The roots of the hierarchies: one folder a controller, or with version 2 one in all."""
    root = pathlib.Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [folder for folder in root.iterdir() if (folder / "cgroup.procs").exists() and folder.name != "unified" and not folder.is_symlink()]


def processes(pod):
    """{pid: name} of everything in a pod, its sandbox too."""
    uid, found = pod["metadata"]["uid"], {}
    own = next(root for root in cgroups() if root.name in ("pids", "cgroup")) / os.environ["UNMASK_CGROUP"]
    for folder in own.glob(f"**/pod{uid}"):
        for file in folder.glob("**/cgroup.procs"):
            for pid in file.read_text().split():
                try:
                    found[int(pid)] = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                except OSError:
                    pass  # It has just ended.
    return found


def send(number, pids):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill(pod):
    """Ends all of a pod at once, as a machine's death does: nothing of it can say goodbye. {pid: name} of what was there."""
    found = processes(pod)
    send(signal.SIGKILL, found)
    return found
