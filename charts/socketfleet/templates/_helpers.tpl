{{/* One operator lives in a namespace, whatever the release is called. */}}
{{- define "socketfleet.operator" -}}
socketfleet-operator
{{- end -}}

{{/* Names of cluster-wide objects carry the namespace, so that two releases do not meet. */}}
{{- define "socketfleet.clusterName" -}}
{{ .Release.Namespace }}:{{ include "socketfleet.operator" . }}
{{- end -}}

{{- define "socketfleet.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "socketfleet.operator" .) .Values.serviceAccount.name }}
{{- else -}}
{{ required "serviceAccount.name: name the ServiceAccount to use, or set serviceAccount.create to true" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "socketfleet.servingSecret" -}}
{{ include "socketfleet.operator" . }}-serving
{{- end -}}

{{/* The fleets' NetworkPolicies let pods of this name in: it must not change. */}}
{{- define "socketfleet.selectorLabels" -}}
app.kubernetes.io/name: socketfleet-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "socketfleet.labels" -}}
{{ include "socketfleet.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: socketfleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "socketfleet.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{ .Values.image.repository }}:{{ $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "socketfleet.serverImage" -}}
{{ default (printf "ghcr.io/socketfleet/socket-server:%s" .Chart.AppVersion) .Values.defaults.serverImage }}
{{- end -}}

{{/* What the operator may do where the fleets are. */}}
{{- define "socketfleet.fleetRules" -}}
- apiGroups: [socketfleet.io]
  resources: [socketfleets]
  verbs: [list, watch, patch]
- apiGroups: [socketfleet.io]
  resources: [socketfleets/status]
  verbs: [patch]
# Objects refer to their fleet with blockOwnerDeletion.
- apiGroups: [socketfleet.io]
  resources: [socketfleets/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "socketfleet.subjects" -}}
- kind: ServiceAccount
  name: {{ include "socketfleet.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
