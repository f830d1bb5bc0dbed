#!/usr/bin/env bash
# The five steps as a careful person scripts them: kubectl, Vault's HTTP API by curl, the issuer.
# ISSUER ADMIN_KEY VAULT VAULT_TOKEN SPACE SECRET KEY KUBECTL SERVICES ("url url")
# CAREFUL=1: the old key goes when the old pods have ended, not while they finish what they have begun, and is seen dead
set -euo pipefail
project=$ISSUER/v1/organization/projects/proj_demo
admin=(-sS --fail -H "authorization: Bearer $ADMIN_KEY")
vault=(-sS --fail -H "x-vault-token: $VAULT_TOKEN")

# 1. the new key; the old one's account is looked up by what Vault holds
old=$(curl "${vault[@]}" "$VAULT/v1/secret/data/$SPACE" | jq -r ".data.data.$KEY")
owner=$(curl "${admin[@]}" "$project/api_keys?limit=100" |
  jq -r --arg last "${old: -4}" '.data[] | select(.redacted_value | endswith($last)) | .owner.service_account.id')
new=$(curl "${admin[@]}" -d "{\"name\": \"by-hand-$RANDOM\"}" "$project/service_accounts" | jq -r .api_key.value)
# 2. the stores
curl "${vault[@]}" -o /dev/null -X PATCH -H 'content-type: application/merge-patch+json' \
  -d "{\"data\": {\"$KEY\": \"$new\"}}" "$VAULT/v1/secret/data/$SPACE"
$KUBECTL patch secret "$SECRET" --type merge -p "{\"data\": {\"$KEY\": \"$(printf %s "$new" | base64 -w0)\"}}" >/dev/null
# 3. the services
before=$($KUBECTL get pods -o name)
$KUBECTL rollout restart deployment/api deployment/worker >/dev/null
for name in api worker; do $KUBECTL rollout status "deployment/$name" --timeout=120s >/dev/null; done
if [ -n "${CAREFUL:-}" ]; then
  while $KUBECTL get pods -o name | grep -qxF "$before"; do sleep 0.2; done
fi
# 4. a call with the key, and one through each service
curl -sS --fail -o /dev/null -H "authorization: Bearer $new" "$ISSUER/v1/models"
for url in $SERVICES; do curl -sS --fail -o /dev/null "$url/"; done
# 5. the old key
curl "${admin[@]}" -o /dev/null -X DELETE "$project/service_accounts/$owner"
if [ -n "${CAREFUL:-}" ]; then
  until [ "$(curl -sS -o /dev/null -w '%{http_code}' -H "authorization: Bearer $old" "$ISSUER/v1/models")" = 401 ]; do
    sleep 0.2
  done
fi
