#!/bin/sh
# A certificate authority for development, and a serving certificate from it for the aggregated API.
#
#   certs/dev-ca.sh [DIRECTORY]
#
# The default directory is outside the checkout. The authority is made once and kept while it is valid; the
# serving certificate is made anew each time. NAMESPACE and DAYS may be set in the environment. Needs openssl.
set -eu

directory=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/tagscope/dev-ca}
namespace=${NAMESPACE:-tagscope-system}
days=${DAYS:-30}
service=tagscope.$namespace.svc

command -v openssl >/dev/null || { echo "certs/dev-ca.sh needs openssl" >&2; exit 1; }

umask 077
mkdir -p "$directory"
cd "$directory"
directory=$(pwd)

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

if ! openssl x509 -in ca.crt -noout -checkend $((days * 86400)) >/dev/null 2>&1; then
    new_key ca.key
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -out ca.crt \
        -subj "/CN=tagscope development authority" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
fi

cat >extensions.cnf <<END
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:$service,DNS:$service.cluster.local,DNS:localhost,IP:127.0.0.1,IP:::1
END

# Under other names until both are there: a server that watches the files must not see half a pair.
new_key tls.key.new
openssl req -new -key tls.key.new -subj "/CN=$service" -out tls.csr
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days "$days" \
    -extfile extensions.cnf -out tls.crt.new 2>/dev/null
openssl verify -CAfile ca.crt tls.crt.new >/dev/null
mv tls.key.new tls.key
mv tls.crt.new tls.crt
rm -f tls.csr extensions.cnf

cat <<END
The serving certificate for $service and localhost is in $directory, good for $days days.

  tagscope run --tls-cert-file $directory/tls.crt --tls-private-key-file $directory/tls.key …

  kubectl patch apiservice v1alpha1.tags.tagscope.dev --type merge \\
    -p "{\"spec\":{\"caBundle\":\"\$(base64 < $directory/ca.crt | tr -d '\\n')\"}}"
END
