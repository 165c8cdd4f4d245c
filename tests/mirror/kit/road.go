package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// What passed over a road.
type counts struct {
	Requests map[string]int64 `json:"requests"` // by method
	Total    int64            `json:"total"`
	Received int64            `json:"received"` // bytes of request bodies
	Sent     int64            `json:"sent"`     // bytes of answers' bodies
	Errors   map[int]int64    `json:"errors"`   // statuses from 400 on
}

type road struct {
	mutex  sync.Mutex
	counts counts
	delay  time.Duration
	proxy  *httputil.ReverseProxy
}

// A road to UPSTREAM that takes DELAY longer for each request, as a registry far away would; over TLS, as proxies
// in front of registries do it. The certificate authority is written to the file CA.
func serveRoad(address, upstream, ca string, delay time.Duration) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	certificate, authority, err := selfSigned()
	if err != nil {
		return err
	}
	if err := os.WriteFile(ca, authority, 0o600); err != nil {
		return err
	}
	r := &road{delay: delay}
	r.reset()
	r.proxy = &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(target)
			request.Out.Host = request.In.Host
			request.Out.Header.Set("X-Forwarded-Proto", "https")
		},
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 256,
			DisableCompression:  true,
			WriteBufferSize:     256 << 10,
			ReadBufferSize:      256 << 10,
		},
		BufferPool: &pool{},
		ErrorLog:   log.New(io.Discard, "", 0),
	}
	server := &http.Server{
		Handler:   r,
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	return server.ServeTLS(listener, "", "")
}

func (r *road) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/-/counts" {
		r.serveCounts(writer, request)
		return
	}
	time.Sleep(r.delay)
	body := &countedBody{ReadCloser: request.Body}
	request.Body = body
	counted := &countedAnswer{ResponseWriter: writer, status: http.StatusOK}
	defer func() {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.counts.Total++
		r.counts.Requests[request.Method]++
		r.counts.Received += body.bytes
		r.counts.Sent += counted.bytes
		if counted.status >= 400 {
			r.counts.Errors[counted.status]++
		}
	}()
	r.proxy.ServeHTTP(counted, request)
}

func (r *road) serveCounts(writer http.ResponseWriter, request *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if request.Method == http.MethodPost {
		r.reset()
	}
	writer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(writer).Encode(r.counts)
}

func (r *road) reset() {
	r.counts = counts{Requests: map[string]int64{}, Errors: map[int]int64{}}
}

type countedBody struct {
	io.ReadCloser
	bytes int64
}

func (b *countedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	b.bytes += int64(n)
	return n, err
}

type countedAnswer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *countedAnswer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(from []byte) (int, error) {
	n, err := a.ResponseWriter.Write(from)
	a.bytes += int64(n)
	return n, err
}

func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Buffers of the proxy, large enough for layers.
type pool struct{ sync.Pool }

func (p *pool) Get() []byte {
	if buffer, ok := p.Pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 256<<10)
}

func (p *pool) Put(buffer []byte) { p.Pool.Put(&buffer) }

// A certificate for this machine, and the authority that it comes from.
func selfSigned() (tls.Certificate, []byte, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "road authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano() + 1),
		Subject:      pkix.Name{CommonName: "road"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}), nil
}
