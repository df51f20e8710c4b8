{{/* Where the ranks of a group run, as LeaderWorkerSet names its pods: NAME-GROUP for the leader, NAME-GROUP-1 and so on. */}}
{{- define "unmask.groupHosts" -}}
{{- $set := printf "%s-replica" (include "unmask.fullname" .) -}}
{{- $ranks := div (int .Values.replicas.tensorParallel) (int .Values.replicas.nodes) -}}
{{- range $i := until (int .Values.replicas.nodes) -}}
{{- if $i }},{{ end -}}
{{ $set }}-$(GROUP){{ if $i }}-{{ $i }}{{ end }}.{{ $set }}.{{ $.Release.Namespace }}:{{ $ranks }}
{{- end -}}
{{- end -}}

{{/* The pod of a replica, or one of several of it. Called with (dict "root" $ "role" "whole|leader|worker"). */}}
{{- define "unmask.replicaPod" -}}
{{- $root := .root -}}
{{- $r := .root.Values.replicas -}}
{{- $ranks := div (int $r.tensorParallel) (int $r.nodes) -}}
{{- include "unmask.podCommon" (dict "root" .root "values" $r) }}
terminationGracePeriodSeconds: {{ add $r.drainTimeoutSeconds 30 }}
{{- with $r.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- include "unmask.initContainers" .root }}
containers:
  - name: replica
    image: {{ include "unmask.replicaImage" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args:
      {{- if eq .role "worker" }}
      - unmask
      - node
      - --listen=0.0.0.0:50060
      - --key-file=/etc/unmask/launch/key
      - --drain-timeout={{ add $r.drainTimeoutSeconds 10 }}
      {{- else }}
      - unmask
      - replica
      - --coordinator={{ include "unmask.fullname" .root }}-fleet:50052
      - --name=$(POD_NAME)
      - --model={{ include "unmask.modelPath" .root }}
      - --model-name={{ include "unmask.modelName" .root }}
      - --tensor-parallel={{ $r.tensorParallel }}
      {{- if eq .role "leader" }}
      - --hosts={{ include "unmask.groupHosts" .root }}
      {{- end }}
      - --device={{ $r.device }}
      - --dtype={{ $r.dtype }}
      {{- with .root.Values.model.digest }}
      - --weights-digest={{ . }}
      {{- end }}
      {{- if eq $r.device "cpu" }}
      - --threads={{ $r.threads }}
      {{- end }}
      {{- with $r.kvMemory }}
      - --kv-memory={{ . }}
      {{- end }}
      - --drain-timeout={{ $r.drainTimeoutSeconds }}
      - --state-file=/tmp/replica.state
      {{- if .root.Values.tls.fleet.secretName }}
      - --tls-ca=/etc/unmask/fleet-tls/ca.crt
      {{- if .root.Values.tls.fleet.clientCa }}
      - --tls-cert=/etc/unmask/fleet-tls/tls.crt
      - --tls-key=/etc/unmask/fleet-tls/tls.key
      {{- end }}
      {{- end }}
      {{- with $r.extraArgs }}{{- toYaml . | nindent 6 }}{{- end }}
      {{- end }}
    env:
      # A stable name, so that the coordinator knows a replica that comes back.
      - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      {{- if eq .role "leader" }}
      - {name: GROUP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['leaderworkerset.sigs.k8s.io/group-index']"}}}
      # mpirun starts ranks in the other pods through `unmask node` there, itself, and finds them by their whole names.
      - {name: OMPI_MCA_plm_rsh_agent, value: unmask launch --key-file=/etc/unmask/launch/key}
      - {name: OMPI_MCA_plm_rsh_no_tree_spawn, value: "1"}
      - {name: OMPI_MCA_orte_keep_fqdn_hostnames, value: "1"}
      {{- end }}
      {{- with $r.extraEnv }}{{- toYaml . | nindent 6 }}{{- end }}
    {{- if eq .role "worker" }}
    ports:
      - {name: launch, containerPort: 50060}
    readinessProbe:
      tcpSocket: {port: launch}
      periodSeconds: 5
    {{- else }}
    # A replica dials and opens no port: rank 0 keeps a file that says how it is, new each second. Live is a fresh file,
    # ready one that says so: loaded, and known to the coordinator. What it says instead is in the pod's events.
    startupProbe:
      exec: {command: [sh, -c, "cat /tmp/replica.state"]}
      periodSeconds: 2
      timeoutSeconds: 5
      # Rank 0 begins once all pods of its replica run: their images and models are fetched first, and nodes may be missing.
      failureThreshold: {{ ternary (div $r.groupStartSeconds 2) 150 (eq .role "leader") }}
    livenessProbe:
      exec: {command: [sh, -c, "cat /tmp/replica.state; test -n \"$(find /tmp/replica.state -newermt '-90 seconds')\""]}
      periodSeconds: 15
      timeoutSeconds: 5
    readinessProbe:
      exec: {command: [sh, -c, "cat /tmp/replica.state; grep -q ^ready \"$(find /tmp/replica.state -newermt '-10 seconds')\""]}
      periodSeconds: 2
      timeoutSeconds: 5
    {{- end }}
    resources:
      {{- if eq $r.device "cuda" }}
      {{- $gpus := dict "limits" (dict $r.gpuResource (toString $ranks)) }}
      {{- toYaml (mustMergeOverwrite (deepCopy $r.resources) $gpus) | nindent 6 }}
      {{- else }}
      {{- toYaml $r.resources | nindent 6 }}
      {{- end }}
    securityContext: {{- include "unmask.containerSecurity" .root | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: shm, mountPath: /dev/shm}
      {{- include "unmask.modelMount" .root | nindent 6 }}
      {{- if .root.Values.tls.fleet.replicaSecretName }}
      - {name: fleet-tls, mountPath: /etc/unmask/fleet-tls, readOnly: true}
      {{- end }}
      {{- if ne .role "whole" }}
      - {name: launch, mountPath: /etc/unmask/launch, readOnly: true}
      {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ $r.shmSizeLimit }}}}
  {{- include "unmask.modelVolume" .root | nindent 2 }}
  {{- with .root.Values.tls.fleet.replicaSecretName }}
  - {name: fleet-tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
  {{- end }}
  {{- if ne .role "whole" }}
  - {name: launch, secret: {secretName: {{ $r.launchSecretName | default (printf "%s-launch" (include "unmask.fullname" .root)) }}, defaultMode: 0440}}
  {{- end }}
{{- end -}}
