{{- define "rotator.pod" -}}
serviceAccountName: rotator
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, fsGroupChangePolicy: OnRootMismatch, seccompProfile: {type: RuntimeDefault}}
{{- if eq .Values.mode "fleet" }}
terminationGracePeriodSeconds: 30
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {app.kubernetes.io/name: rotator}}
{{- else }}
restartPolicy: Never
{{- end }}
containers:
  - name: rotator
    image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    {{- if eq .Values.mode "fleet" }}
    args: [daemon, --listen, "0.0.0.0:9187"]
    ports: [{name: http, containerPort: 9187}]
    startupProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 2, failureThreshold: 60}
    livenessProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 20, timeoutSeconds: 10}
    readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 10}
    {{- else }}
    args: [rotate, --due]
    {{- end }}
    env:
      - {name: ROTATOR_KEY_FILE, value: /run/secrets/rotator/rotator.key}
      - {name: CREDENTIALS_DIRECTORY, value: /run/secrets/rotator}
      {{- if eq .Values.mode "fleet" }}
      - {name: ROTATOR_HOME, value: /var/lib/rotator/state}
      - name: ROTATOR_DATABASE_URL
        valueFrom: {secretKeyRef: {name: {{ .Values.secrets.database }}, key: url}}
      {{- end }}
      {{- range .Values.env }}
      - {{ toJson . }}
      {{- end }}
    resources: {{ toJson .Values.resources }}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts:
      - {name: {{ include "rotator.state" . }}, mountPath: /var/lib/rotator}
      - {name: playbooks, mountPath: /etc/rotator/playbooks, readOnly: true}
      - {name: secrets, mountPath: /run/secrets/rotator, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  {{- if eq .Values.mode "fleet" }}
  - {name: locks, emptyDir: {}}
  {{- else }}
  - {name: journal, persistentVolumeClaim: {claimName: rotator-journal}}
  {{- end }}
  - {name: playbooks, configMap: {name: {{ .Values.playbooksConfigMap }}}}
  - name: secrets
    projected:
      defaultMode: 0400
      sources:
        - secret: {name: {{ .Values.secrets.sealingKey }}, items: [{key: rotator.key, path: rotator.key}]}
        - secret: {name: {{ .Values.secrets.credentials }}}
  - {name: tmp, emptyDir: {}}
{{- end }}
{{- define "rotator.state" }}{{ if eq .Values.mode "fleet" }}locks{{ else }}journal{{ end }}{{ end }}
