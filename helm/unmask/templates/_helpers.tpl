{{- define "unmask.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "unmask.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "unmask.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What pods are found by: never changes in an upgrade. Called with (dict "root" $ "component" NAME). */}}
{{- define "unmask.selector" -}}
app.kubernetes.io/name: {{ include "unmask.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* What pods are labelled with: a new chart with the same version of Unmask restarts none. */}}
{{- define "unmask.podLabels" -}}
{{ include "unmask.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: unmask
{{- end -}}

{{- define "unmask.labels" -}}
{{ include "unmask.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "unmask.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* What computes on GPUs alone needs the larger image with NVIDIA's libraries. */}}
{{- define "unmask.replicaImage" -}}
{{- $cuda := and (eq .Values.replicas.device "cuda") (not .Values.image.tag) (not .Values.image.digest) -}}
{{ include "unmask.image" . }}{{ if $cuda }}-cuda{{ end }}
{{- end -}}

{{- define "unmask.serviceAccount" -}}
{{- ternary (.Values.serviceAccount.name | default (include "unmask.fullname" .)) (.Values.serviceAccount.name | default "default") .Values.serviceAccount.create -}}
{{- end -}}

{{- define "unmask.priorityClass" -}}
{{- with .Values.priorityClass -}}
{{- if .create -}}{{ .name | default (include "unmask.fullname" $) }}{{- else -}}{{ .name }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "unmask.storeClaim" -}}
{{- .Values.coordinator.store.existingClaim | default (printf "%s-store" (include "unmask.fullname" .)) -}}
{{- end -}}

{{- define "unmask.modelName" -}}
{{- .Values.model.name | default (ternary "demo" "model" (eq .Values.model.source "embedded")) -}}
{{- end -}}

{{- define "unmask.modelPath" -}}
{{- if eq .Values.model.source "embedded" -}}
/usr/share/unmask/models/demo
{{- else -}}
{{- printf "/model/%s" .Values.model.path | trimSuffix "/" -}}
{{- end -}}
{{- end -}}

{{/* Pod Security "restricted". 65532 has an entry in the image's passwd, which mpirun asks for. */}}
{{- define "unmask.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "unmask.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "unmask.modelVolume" -}}
{{- with .Values.model }}
{{- if eq .source "pvc" }}
- name: model
  persistentVolumeClaim: {claimName: {{ .pvc.claimName | quote }}, readOnly: true}
{{- else if eq .source "hostPath" }}
- name: model
  hostPath: {path: {{ .hostPath.path | quote }}, type: Directory}
{{- else if eq .source "image" }}
- name: model
  image: {reference: {{ .image.reference | quote }}, pullPolicy: {{ .image.pullPolicy }}}
{{- else if eq .source "init" }}
- name: model
  emptyDir: {sizeLimit: {{ .init.sizeLimit }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "unmask.modelMount" -}}
{{- if ne .Values.model.source "embedded" }}
- {name: model, mountPath: /model, readOnly: true}
{{- end }}
{{- end -}}

{{- define "unmask.initContainers" -}}
{{- if eq .Values.model.source "init" }}
initContainers:
  - name: model
    image: {{ .Values.model.init.image | quote }}
    {{- with .Values.model.init.command }}
    command: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.model.init.args }}
    args: {{- toYaml . | nindent 6 }}
    {{- end }}
    env:
      - {name: MODEL_DIR, value: {{ include "unmask.modelPath" . }}}
      - {name: HOME, value: /tmp}
      {{- with .Values.model.init.env }}{{- toYaml . | nindent 6 }}{{- end }}
    securityContext: {{- include "unmask.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: model, mountPath: /model}
      - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}

{{/* The fields that both kinds of pods share. Called with (dict "root" $ "values" .Values.coordinator). */}}
{{- define "unmask.podCommon" -}}
serviceAccountName: {{ include "unmask.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "unmask.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "unmask.priorityClass" .root }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
