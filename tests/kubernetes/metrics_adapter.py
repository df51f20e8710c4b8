"""Serves a coordinator's gauge as an external metric to the controller of HorizontalPodAutoscalers: what prometheus-adapter would with the
rule of docs/kubernetes.md, without a Prometheus in between. Every reading is kept."""

import datetime
import http.server
import json
import ssl
import threading
import time
import urllib.parse

from cluster import ADDRESS
from kube import run, until

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
PORT = 6500


class Adapter:
    def __init__(self, cluster, release, metric):
        self.release, self.metric, self.readings = release, metric, []
        adapter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlparse(self.path)
                found = adapter.answer(url.path.split("/")[2:], urllib.parse.parse_qs(url.query))
                body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer((ADDRESS, PORT), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.folder / "keys/tls.crt", cluster.folder / "keys/tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._register()

    def answer(self, path, query):
        """path: what follows /apis/."""
        if path == [GROUP, VERSION]:
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": [
                {"name": self.metric, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}]}
        service = f"{self.release.name}-admin"
        if path[2:] != ["namespaces", self.release.namespace, self.metric] or query.get("labelSelector") != [f"service={service}"]:
            return None
        value = self.release.metrics()[self.metric]
        self.readings.append((time.time(), value))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": [
            {"metricName": self.metric, "metricLabels": {"service": service}, "timestamp": now, "value": f"{value:.0f}"}]}

    def _register(self):
        ports = [{"name": "https", "port": PORT}]
        self.release.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "adapter"}, "spec": {"ports": ports}},
                           {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "adapter"},
                            "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": ports}]},
                           {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"{VERSION}.{GROUP}"},
                            "spec": {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True,
                                     "service": {"namespace": self.release.namespace, "name": "adapter", "port": PORT}}})
        until(lambda: run("kubectl", "get", "--raw", f"/apis/{GROUP}/{VERSION}"), "the API server calls the adapter")
