{{/* What the schema cannot say: values that contradict each other. Each message names them. */}}
{{- define "unmask.checks" -}}
{{- $m := .Values.model -}}
{{- $r := .Values.replicas -}}
{{- $a := .Values.autoscaling -}}
{{- $needs := dict "pvc" $m.pvc.claimName "hostPath" $m.hostPath.path "image" $m.image.reference "init" $m.init.image -}}
{{- $field := dict "pvc" "model.pvc.claimName" "hostPath" "model.hostPath.path" "image" "model.image.reference" "init" "model.init.image" -}}
{{- range $source, $value := $needs -}}
{{- if and (eq $m.source $source) (not $value) -}}
{{- fail (printf "model.source is %s, but %s is empty" $source (get $field $source)) -}}
{{- end -}}
{{- if and (ne $m.source $source) $value -}}
{{- fail (printf "%s is set, but model.source is %s" (get $field $source) $m.source) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $m.source "embedded") $m.path -}}
{{- fail "model.path is set, but model.source is embedded, which has no volume" -}}
{{- end -}}
{{- if ne 0 (mod (int $r.tensorParallel) (int $r.nodes)) -}}
{{- fail (printf "replicas.nodes %d does not divide replicas.tensorParallel %d" (int $r.nodes) (int $r.tensorParallel)) -}}
{{- end -}}
{{- if and $r.exclusiveTopology (eq (int $r.nodes) 1) -}}
{{- fail "replicas.exclusiveTopology is set, but replicas.nodes is 1: it is for replicas that span nodes" -}}
{{- end -}}
{{- if and (eq $r.device "cuda") (hasKey ($r.resources.limits | default dict) $r.gpuResource) -}}
{{- fail (printf "replicas.resources.limits holds %s: the chart sets it to tensorParallel / nodes" $r.gpuResource) -}}
{{- end -}}
{{- if and (eq $r.device "cuda") (gt (int $r.threads) 0) -}}
{{- fail "replicas.threads is set, but replicas.device is cuda" -}}
{{- end -}}
{{- if and (eq $r.device "cuda") (eq $r.dtype "int8") -}}
{{- fail "replicas.dtype is int8, which replicas.device cuda does not compute: use bf16" -}}
{{- end -}}
{{- if and .Values.networkPolicy.restrictEgress (eq $m.source "init") -}}
{{- fail "networkPolicy.restrictEgress is true, but model.source is init: its container could not download anything" -}}
{{- end -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas %d is more than autoscaling.maxReplicas %d" (int $a.minReplicas) (int $a.maxReplicas)) -}}
{{- end -}}
{{- if and $a.enabled (eq $a.via "keda") (not $a.keda.prometheusAddress) -}}
{{- fail "autoscaling.via is keda, but autoscaling.keda.prometheusAddress is empty" -}}
{{- end -}}
{{- if and .Values.tls.public.clientCa (not .Values.tls.public.secretName) -}}
{{- fail "tls.public.clientCa is true, but tls.public.secretName is empty" -}}
{{- end -}}
{{- if and .Values.tls.fleet.clientCa (not .Values.tls.fleet.secretName) -}}
{{- fail "tls.fleet.clientCa is true, but tls.fleet.secretName is empty" -}}
{{- end -}}
{{- if ne (empty .Values.tls.fleet.secretName) (empty .Values.tls.fleet.replicaSecretName) -}}
{{- fail "tls.fleet.secretName and tls.fleet.replicaSecretName belong together: one of them is empty" -}}
{{- end -}}
{{- if and .Values.test.enabled .Values.tls.public.secretName (not .Values.test.tlsSecretName) -}}
{{- fail "tls.public.secretName is set: helm test needs test.tlsSecretName (with ca.crt), or test.enabled=false" -}}
{{- end -}}
{{- if and .Values.test.enabled .Values.auth.tokensSecretName (not .Values.test.tokenSecretName) -}}
{{- fail "auth.tokensSecretName is set: helm test needs test.tokenSecretName, or test.enabled=false" -}}
{{- end -}}
{{- if and .Values.auth.openReflection (not .Values.auth.tokensSecretName) -}}
{{- fail "auth.openReflection is true, but auth.tokensSecretName is empty: reflection is open anyway" -}}
{{- end -}}
{{- if and .Values.coordinator.store.existingClaim (not .Values.coordinator.store.enabled) -}}
{{- fail "coordinator.store.existingClaim is set, but coordinator.store.enabled is false" -}}
{{- end -}}
{{- if and .Values.batch.runs (not .Values.coordinator.store.enabled) -}}
{{- fail "batch.runs holds jobs, but coordinator.store.enabled is false: there is nowhere to keep them" -}}
{{- end -}}
{{- if and .Values.batch.runs (not .Values.batch.claimName) -}}
{{- fail "batch.runs holds jobs, but batch.claimName is empty: there is nothing to read" -}}
{{- end -}}
{{- if and .Values.batch.runs .Values.tls.public.secretName (not .Values.batch.tlsSecretName) -}}
{{- fail "tls.public.secretName is set: batch.runs needs batch.tlsSecretName (with ca.crt)" -}}
{{- end -}}
{{- if and .Values.batch.runs .Values.auth.tokensSecretName (not .Values.batch.tokenSecretName) -}}
{{- fail "auth.tokensSecretName is set: batch.runs needs batch.tokenSecretName" -}}
{{- end -}}
{{- if and .Values.coordinator.service.nodePort (eq .Values.coordinator.service.type "ClusterIP") -}}
{{- fail "coordinator.service.nodePort is set, but coordinator.service.type is ClusterIP" -}}
{{- end -}}
{{- end -}}
