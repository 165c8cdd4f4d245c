package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pair is a certificate and its key as files, for flags, and as PEM, for kubeconfigs.
type pair struct {
	certFile, keyFile string
	certPEM, keyPEM   []byte
	cert              *x509.Certificate
	key               *ecdsa.PrivateKey
}

// pki is everything that the control plane proves identities with. Made anew for every run.
type pki struct {
	// ca signs kube-apiserver's serving certificate and the clients'.
	ca pair
	// frontProxyCA is a CA of its own: a client certificate of ca must never pass for a front proxy.
	frontProxyCA, frontProxy pair
	serving, admin, manager  pair
	serviceAccountKeyFile    string
}

func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &pki{}
	var err error
	issue := func(into *pair, issuer *pair, name string, template x509.Certificate) {
		if err == nil {
			*into, err = newPair(dir, name, template, issuer)
		}
	}
	client := func(user string, groups ...string) x509.Certificate {
		return x509.Certificate{
			Subject:     pkix.Name{CommonName: user, Organization: groups},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	authority := func(name string) x509.Certificate {
		return x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}
	}
	issue(&p.ca, nil, "ca", authority("kubernetes-ca"))
	issue(&p.frontProxyCA, nil, "front-proxy-ca", authority("front-proxy-ca"))
	issue(&p.frontProxy, &p.frontProxyCA, "front-proxy", client(frontProxyName))
	issue(&p.admin, &p.ca, "admin", client("kubernetes-admin", "system:masters"))
	issue(&p.manager, &p.ca, "controller-manager", client("system:kube-controller-manager", "system:masters"))
	issue(&p.serving, &p.ca, "apiserver", x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	if err != nil {
		return nil, err
	}
	p.serviceAccountKeyFile = filepath.Join(dir, "service-account.key")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	_, err = writeKey(p.serviceAccountKeyFile, key)
	return p, err
}

// newPair makes a key and a certificate signed by issuer, or by itself when there is none.
func newPair(dir, name string, template x509.Certificate, issuer *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(7 * 24 * time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if template.IsCA {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	parent, signer := &template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, err
	}
	made := pair{
		certFile: filepath.Join(dir, name+".crt"),
		keyFile:  filepath.Join(dir, name+".key"),
		certPEM:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		cert:     cert,
		key:      key,
	}
	if err := os.WriteFile(made.certFile, made.certPEM, 0o600); err != nil {
		return pair{}, err
	}
	made.keyPEM, err = writeKey(made.keyFile, key)
	return made, err
}

func writeKey(file string, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return block, os.WriteFile(file, block, 0o600)
}
