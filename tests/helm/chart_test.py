"""The chart, without a cluster: what it renders is what Kubernetes takes, and what it must refuse it refuses by name."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from chart import CHART, VERSIONS, Refused, faults, pod_templates, render

EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
RUN = "batch.runs[0].input=in,batch.runs[0].output=out,batch.runs[0].name="


def kinds(documents):
    return sorted(f"{d['kind']} {d['metadata']['name']}" for d in documents)


def one(documents, kind):
    (document,) = [d for d in documents if d["kind"] == kind]
    return document


class RenderedTest(unittest.TestCase):
    def test_lint_has_nothing_to_say(self):
        done = subprocess.run([os.environ["HELM"], "lint", "--strict", CHART], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_values_file_is_valid_secure_and_whole(self):
        self.assertGreaterEqual(len(EXAMPLES), 8)
        for file in [None, *EXAMPLES]:
            for version in VERSIONS:
                with self.subTest(values=file and file.name, kubernetes=version):
                    found = faults(render(*[file] if file else [], version=version), version)
                    if file and file.name == "multi-node.yaml":  # It shows hostPath, which "restricted" forbids.
                        found = [fault for fault in found if not fault.endswith("volume of type hostPath")]
                    self.assertEqual(found, [])

    def test_the_default_is_a_whole_service(self):
        self.assertEqual(kinds(render()), [
            "Deployment rel-unmask-coordinator", "NetworkPolicy rel-unmask-coordinator", "NetworkPolicy rel-unmask-replica",
            "Pod rel-unmask-test-generate", "PodDisruptionBudget rel-unmask-replica", "Service rel-unmask",
            "Service rel-unmask-admin", "Service rel-unmask-fleet", "Service rel-unmask-replicas", "ServiceAccount rel-unmask",
            "StatefulSet rel-unmask-replica"])
        deployment = one(render(), "Deployment")
        self.assertEqual(deployment["spec"]["strategy"], {"type": "Recreate"})
        self.assertEqual(one(render(), "StatefulSet")["spec"]["podManagementPolicy"], "Parallel")

    def test_a_pod_has_longer_to_end_than_its_program_takes(self):
        documents = render(settings=["coordinator.drainTimeoutSeconds=77", "replicas.drainTimeoutSeconds=99"])
        for kind, seconds in (("Deployment", 77), ("StatefulSet", 99)):
            spec = one(documents, kind)["spec"]["template"]["spec"]
            self.assertIn(f"--drain-timeout={seconds}", spec["containers"][0]["args"])
            self.assertGreater(spec["terminationGracePeriodSeconds"], seconds)

    def test_gpus_are_asked_for_as_ranks_need_them(self):
        (pod,) = pod_templates(one(render(CHART / "examples/gpu.yaml"), "StatefulSet"))
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        self.assertEqual(limits, {"memory": "32Gi", "nvidia.com/gpu": "2"})
        for pod in pod_templates(one(render(CHART / "examples/multi-node.yaml"), "LeaderWorkerSet")):
            self.assertEqual(pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "8")

    def test_only_replicas_on_gpus_have_the_larger_image(self):
        def images(example, *settings):
            return {pod["spec"]["containers"][0]["image"] for d in render(CHART / f"examples/{example}.yaml", settings=settings) for pod in pod_templates(d)
                    if (d["kind"] in ("StatefulSet", "LeaderWorkerSet")) == replicas}
        version = next(line.split('"')[1] for line in (CHART / "Chart.yaml").read_text().splitlines() if line.startswith("appVersion:"))
        for replicas, tag in ((False, version), (True, f"{version}-cuda")):
            self.assertEqual(images("gpu"), {f"registry.example.com/unmask:{tag}"})
            self.assertEqual(images("multi-node"), {f"unmask:{tag}"})
            self.assertEqual(images("gpu", "image.tag=mine"), {"registry.example.com/unmask:mine"})
            self.assertEqual(images("gpu", f"image.digest=sha256:{'0' * 64}"), {f"registry.example.com/unmask@sha256:{'0' * 64}"})
            self.assertEqual(images("batch"), {f"unmask:{version}"})  # On CPUs.

    def test_probes_ask_grpc_in_plaintext_and_http_with_tls(self):
        def probe(documents, name):
            return one(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0][name]
        plain, secure = render(), render(CHART / "examples/secure.yaml")
        self.assertEqual(probe(plain, "livenessProbe")["grpc"], {"port": 50051})
        self.assertEqual(probe(plain, "readinessProbe")["grpc"], {"port": 50051, "service": "unmask.v1.InferenceService"})
        self.assertEqual(probe(secure, "livenessProbe")["httpGet"], {"port": "admin", "path": "/livez"})
        self.assertEqual(probe(secure, "readinessProbe")["httpGet"], {"port": "admin", "path": "/readyz"})

    def test_http_is_there_where_it_is_asked_for_and_nowhere_else(self):
        def seen(*settings):
            documents = render(settings=settings)
            ports = lambda rules: [port["port"] for rule in rules for port in rule["ports"]]
            coordinator = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
            policy = next(d for d in documents if d["kind"] == "NetworkPolicy" and d["metadata"]["name"].endswith("-coordinator"))
            service = next(d for d in documents if d["kind"] == "Service" and any(p["name"] == "grpc" for p in d["spec"]["ports"]))
            return ("--http-listen=0.0.0.0:8080" in coordinator["args"], "http" in [p["name"] for p in coordinator["ports"]],
                    {p["name"]: p["port"] for p in service["spec"]["ports"]}.get("http"), "http" in ports(policy["spec"]["ingress"]))
        self.assertEqual(seen(), (False, False, None, False))
        self.assertEqual(seen("coordinator.http.enabled=true", "coordinator.http.port=80"), (True, True, 80, True))

    def test_http_2_in_plaintext_is_promised_where_there_is_no_tls(self):
        def promised(example):
            return {port["name"] for d in render(CHART / f"examples/{example}.yaml") if d["kind"] == "Service"
                    for port in d["spec"].get("ports", []) if "appProtocol" in port}
        self.assertEqual(promised("batch"), {"grpc", "fleet"})
        self.assertEqual(promised("secure"), set())

    def test_pods_of_a_group_are_under_one_budget_and_wait_for_each_other(self):
        documents = render(CHART / "examples/multi-node.yaml")
        leader, worker = pod_templates(one(documents, "LeaderWorkerSet"))
        (budget,) = [d for d in documents if d["kind"] == "PodDisruptionBudget" and d["metadata"]["name"].endswith("-replica")]
        for pod in leader, worker:
            self.assertLessEqual(budget["spec"]["selector"]["matchLabels"].items(), pod["metadata"]["labels"].items())
        probe = leader["spec"]["containers"][0]["startupProbe"]
        self.assertEqual(probe["failureThreshold"] * probe["periodSeconds"], 3600)
        named = render(CHART / "examples/multi-node.yaml", settings=["replicas.launchSecretName=ours"])
        self.assertNotIn("rel-unmask-launch", [d["metadata"]["name"] for d in named])
        for pod in pod_templates(one(named, "LeaderWorkerSet")):
            self.assertIn({"secretName": "ours", "defaultMode": 0o440}, [v.get("secret") for v in pod["spec"]["volumes"]])

    def test_a_fleet_that_scales_itself_has_no_fixed_size(self):
        for name in ("autoscaling-hpa", "autoscaling-keda"):
            documents = render(CHART / f"examples/{name}.yaml")
            self.assertNotIn("replicas", one(documents, "StatefulSet")["spec"])
            one(documents, "ServiceMonitor")  # Or there is nothing to scale by.
        self.assertEqual(one(render(CHART / "examples/autoscaling-hpa.yaml"), "HorizontalPodAutoscaler")["spec"]["metrics"][0]
                         ["external"]["metric"]["name"], "unmask_queued_work_units")
        self.assertEqual(one(documents, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"],
                         'sum(unmask_queued_work_units{namespace="ns",service="rel-unmask-admin"})')

    def test_runs_are_jobs_and_with_a_schedule_cron_jobs(self):
        documents = render(CHART / "examples/batch.yaml")
        job, nightly = one(documents, "Job"), one(documents, "CronJob")
        (container,) = job["spec"]["template"]["spec"]["containers"]
        self.assertEqual(container["args"], [
            "unmask", "batch", "run", "/data/prompts.jsonl", "/data/first.jsonl", "--server=rel-unmask:50051",
            container["args"][6], "--skip-existing", "--gen-length=128", "--seed=1"])
        # What is computed names the server's job, and anything at all the Job, which cannot be changed.
        newer, other = (one(render(CHART / "examples/batch.yaml", settings=[setting]), "Job")
                        for setting in ("image.tag=newer", "batch.runs[0].output=second.jsonl"))
        self.assertRegex(job["metadata"]["name"], "^rel-unmask-first-[0-9a-f]{8}$")
        self.assertNotEqual(newer["metadata"]["name"], job["metadata"]["name"])
        name_of = lambda job: job["spec"]["template"]["spec"]["containers"][0]["args"][6]
        self.assertRegex(name_of(job), "^--name=rel-unmask-first-[0-9a-f]{8}$")
        self.assertEqual(name_of(newer), name_of(job))
        self.assertNotEqual(name_of(other), name_of(job))
        self.assertEqual(nightly["spec"]["schedule"], "30 1 * * *")
        (container,) = nightly["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        self.assertIn("/data/$(JOB_NAME).jsonl", container["args"])
        self.assertIn("--name=$(JOB_NAME)", container["args"])
        now = one(render(CHART / "examples/batch.yaml", settings=["batch.ttlSecondsAfterFinished=0"]), "Job")
        self.assertEqual(now["spec"]["ttlSecondsAfterFinished"], 0)
        store = {v["name"]: v for v in one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]}["store"]
        self.assertEqual(store["persistentVolumeClaim"]["claimName"], one(documents, "PersistentVolumeClaim")["metadata"]["name"])

    def test_a_new_chart_alone_restarts_no_pod(self):
        with tempfile.TemporaryDirectory() as scratch:
            changed = pathlib.Path(scratch) / "unmask"
            shutil.copytree(CHART, changed)
            text = (changed / "Chart.yaml").read_text()
            (changed / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*", "version: 99.0.0", text))
            templates = [[pod_templates(d) for d in render(chart=c) if d["kind"] != "Pod"] for c in (CHART, changed)]
        self.assertEqual(*templates)

    def test_a_change_of_the_number_of_replicas_restarts_no_pod(self):
        def templates(*settings):  # The coordinator was once told the number, and so replaced with each change of it.
            return [pods for d in render(settings=settings) if d["kind"] != "Pod" and (pods := pod_templates(d))]
        self.assertEqual(templates("replicas.count=3"), templates())
        self.assertEqual(templates("autoscaling.enabled=true"), templates())

    def test_weights_are_held_to_their_digest_where_one_is_named(self):
        def args(**more):
            return one(render(**more), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["args"]
        digest = "0123456789abcdef" * 2
        self.assertIn(f"--weights-digest={digest}", args(settings=[f"model.digest={digest}"]))
        self.assertNotIn("digest", " ".join(args()))


class ProgramsTest(unittest.TestCase):
    def test_every_flag_is_one_that_the_program_has(self):
        programs = os.environ.get("UNMASK_BIN_DIR", "")
        if not os.path.exists(programs + "/unmask"):
            self.skipTest("nothing is built")
        helps = {}
        seen = 0
        for file in [None, *EXAMPLES]:
            for pod in [p for d in render(*[file] if file else []) for p in pod_templates(d)]:
                args = pod["spec"]["containers"][0]["args"]
                words = 1 if args[0] == "unmask-coordinator" else 3 if args[1] == "batch" else 2
                command = tuple(args[:words])
                if command not in helps:
                    helps[command] = subprocess.run([f"{programs}/{command[0]}", *command[1:], "--help"], capture_output=True,
                                                    text=True, check=True).stdout
                for flag in [a.split("=")[0] for a in args if a.startswith("--")]:
                    self.assertRegex(helps[command], rf"(?m)(^|[ ,]){flag}\b", f"{' '.join(command)} has no {flag}")
                    seen += 1
        self.assertGreater(seen, 100)


class RefusalTest(unittest.TestCase):
    def refuses(self, message, *settings):
        with self.subTest(settings=settings):
            with self.assertRaises(Refused) as raised:
                render(settings=settings)
            self.assertIn(message, str(raised.exception))

    def test_typos_and_wrong_types_are_refused_by_name(self):
        for setting, message in {
            "replica.count=2": "replica is not allowed",
            "replicas.cuont=2": "cuont is not allowed",
            "coordinator.service.prot=1": "prot is not allowed",
            "replicas.count=many": "replicas.count",
            "replicas.count=-1": "replicas.count",
            "replicas.device=gpu": "replicas.device",
            "replicas.dtype=fp8": "replicas.dtype",
            "model.source=pv": "model.source",
            "image.digest=latest": "image.digest",
            "model.digest=sha256:abc": "model.digest",
            "coordinator.service.port=70000": "coordinator.service.port",
            "coordinator.store.size=big": "coordinator.store.size",
            "replicas.resources.limits.memory=lots": "replicas.resources.limits.memory",
            "replicas.resources.limit.memory=1Gi": "limit is not allowed",
            "replicas.kvMemory=8 gigabytes": "replicas.kvMemory",
            "autoscaling.via=vpa": "autoscaling.via",
            "tls.public.secretName=Not_A_Name": "tls.public.secretName",
            "networkPolicy.enabled=maybe": "networkPolicy.enabled",
            RUN + "Not_A_Name": "batch.runs",
            "batch.runs[0].name=a": "input",
        }.items():
            self.refuses(message, setting)

    def test_contradictions_are_refused_by_name(self):
        for message, *settings in [
            ("model.source is pvc, but model.pvc.claimName is empty", "model.source=pvc"),
            ("model.hostPath.path is set, but model.source is embedded", "model.hostPath.path=/models"),
            ("model.path is set, but model.source is embedded", "model.path=x"),
            ("replicas.nodes 2 does not divide replicas.tensorParallel 3", "replicas.nodes=2", "replicas.tensorParallel=3"),
            ("replicas.exclusiveTopology is set, but replicas.nodes is 1", "replicas.exclusiveTopology=rack"),
            ("replicas.resources.limits holds nvidia.com/gpu", "replicas.device=cuda", r"replicas.resources.limits.nvidia\.com/gpu=1"),
            ("replicas.threads is set, but replicas.device is cuda", "replicas.device=cuda", "replicas.threads=4"),
            ("replicas.dtype is int8, which replicas.device cuda does not compute", "replicas.device=cuda", "replicas.dtype=int8"),
            ("networkPolicy.restrictEgress is true, but model.source is init", "networkPolicy.restrictEgress=true", "model.source=init",
             "model.init.image=a"),
            ("autoscaling.minReplicas 5 is more than autoscaling.maxReplicas 4", "autoscaling.minReplicas=5"),
            ("autoscaling.keda.prometheusAddress is empty", "autoscaling.enabled=true", "autoscaling.via=keda"),
            ("tls.public.clientCa is true, but tls.public.secretName is empty", "tls.public.clientCa=true"),
            ("tls.fleet.secretName and tls.fleet.replicaSecretName belong together", "tls.fleet.secretName=a"),
            ("helm test needs test.tlsSecretName", "tls.public.secretName=a"),
            ("helm test needs test.tokenSecretName", "auth.tokensSecretName=a"),
            ("auth.openReflection is true, but auth.tokensSecretName is empty", "auth.openReflection=true"),
            ("coordinator.store.existingClaim is set, but coordinator.store.enabled is false", "coordinator.store.existingClaim=a"),
            ("coordinator.store.enabled is false: there is nowhere to keep them", RUN + "a", "batch.claimName=a"),
            ("batch.claimName is empty", RUN + "a", "coordinator.store.enabled=true"),
            ("batch.runs needs batch.tlsSecretName", RUN + "a", "coordinator.store.enabled=true", "batch.claimName=a",
             "tls.public.secretName=a", "test.enabled=false"),
            ("batch.runs needs batch.tokenSecretName", RUN + "a", "coordinator.store.enabled=true", "batch.claimName=a",
             "auth.tokensSecretName=a", "test.enabled=false"),
            ("coordinator.service.nodePort is set, but coordinator.service.type is ClusterIP", "coordinator.service.nodePort=30000"),
        ]:
            self.refuses(message, *settings)


class PlantedTest(unittest.TestCase):
    """The checks see what they are there for: each change of a template is found, under its name."""

    def planted(self, template, old, new):
        with tempfile.TemporaryDirectory() as scratch:
            chart = pathlib.Path(scratch) / "unmask"
            shutil.copytree(CHART, chart)
            text = (chart / "templates" / template).read_text()
            self.assertIn(old, text)
            (chart / "templates" / template).write_text(text.replace(old, new))
            documents = render(CHART / "examples/monitoring.yaml", chart=chart)
        return "\n".join(faults(documents, VERSIONS[-1]))

    def test_planted_faults_are_found(self):
        for template, old, new, message in [
            ("coordinator.yaml", "terminationGracePeriodSeconds:", "terminationGracePeriod:", "terminationGracePeriod"),
            ("coordinator.yaml", "service: unmask.v1.InferenceService", "servce: x", "servce"),
            ("coordinator.yaml", "replicas: 1", "replicas: one", "'one'"),
            ("replicas.yaml", "podManagementPolicy: Parallel", "podManagementPolcy: Parallel", "podManagementPolcy"),
            ("_helpers.tpl", "runAsNonRoot: true\n", "", "runAsNonRoot"),
            ("_helpers.tpl", "seccompProfile: {type: RuntimeDefault}\n", "", "seccompProfile"),
            ("_helpers.tpl", "capabilities: {drop: [ALL]}", "capabilities: {drop: [ALL], add: [SYS_ADMIN]}", "capabilities"),
            ("_helpers.tpl", "readOnlyRootFilesystem: true\n", "", "readOnlyRootFilesystem"),
            ("_helpers.tpl", "allowPrivilegeEscalation: false", "privileged: true", "privileged"),
            ("_helpers.tpl", "automountServiceAccountToken: false", "hostNetwork: true", "hostNetwork"),
            ("services.yaml", "targetPort: fleet", "targetPort: flet", "names the port flet"),
            ("services.yaml", '"component" "coordinator"', '"component" "coordinater"', "selects no pod"),
            ("disruption.yaml", '"component" "replica"', '"component" "worker"', "selects no pod"),
            ("networkpolicy.yaml", "port: admin", "port: metrics", "names the port metrics"),
            ("monitoring.yaml", "port: admin", "port: http", "does not find exactly"),
            ("monitoring.yaml", "namespaceSelector", "namespaceSelect", "namespaceSelect"),
            ("_replica.tpl", "{name: shm, mountPath: /dev/shm}", "{name: sh, mountPath: /dev/shm}", "has the volumes"),
            ("coordinator.yaml", "- {name: tmp, emptyDir: {}}", "- {name: tmp, hostPath: {path: /}}", "volume of type hostPath"),
        ]:
            with self.subTest(template=template, new=new):
                self.assertIn(message, self.planted(template, old, new))


if __name__ == "__main__":
    unittest.main()
