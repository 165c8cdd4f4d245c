package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	frontProxyName = "front-proxy-client"
	// attempts at a start on free ports, which somebody else may take in between.
	attempts = 5
)

// cluster is the control plane and the registry, as far as they are started.
type cluster struct {
	dir       string
	processes []*process

	pki      *pki
	etcd     string // URL
	server   string // URL
	registry string // HOST:PORT
}

// start brings everything up. On failure what is running is left to killAll.
func (c *cluster) start(ctx context.Context, registryAddress string) error {
	var err error
	if c.pki, err = newPKI(c.path("pki")); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return c.startRegistry(ctx, registryAddress) },
		c.startEtcd,
		c.startServer,
		c.startManager,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) startEtcd(ctx context.Context) error {
	return onFreePorts(2, func(ports []int) (*process, error) {
		c.etcd = url("http", ports[0])
		peer := url("http", ports[1])
		p, err := c.spawn("etcd", os.Getenv("ETCD"), nil,
			"--data-dir="+c.path("etcd"),
			"--listen-client-urls="+c.etcd,
			"--advertise-client-urls="+c.etcd,
			"--listen-peer-urls="+peer,
			"--initial-advertise-peer-urls="+peer,
			"--initial-cluster=default="+peer,
			"--unsafe-no-fsync", // The data is thrown away in the end.
			"--log-level=warn",
		)
		if err != nil {
			return nil, err
		}
		return p, until(ctx, p, func() error { return c.get(ctx, c.etcd+"/health", nil) })
	})
}

// auditPolicy records who asked what and how it was answered, for tests of rights and of request counts.
// The control plane's own requests are noise.
const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
  {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
  {"level": "Metadata"}
]}`

func (c *cluster) startServer(ctx context.Context) error {
	policy := c.path("audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	err := onFreePorts(1, func(ports []int) (*process, error) {
		c.server = url("https", ports[0])
		p, err := c.spawn("kube-apiserver", os.Getenv("KUBE_APISERVER"), nil,
			"--etcd-servers="+c.etcd,
			"--bind-address=127.0.0.1",
			"--secure-port="+strconv.Itoa(ports[0]),
			"--tls-cert-file="+c.pki.serving.certFile,
			"--tls-private-key-file="+c.pki.serving.keyFile,
			"--client-ca-file="+c.pki.ca.certFile,
			"--authorization-mode=RBAC",
			// Nothing runs in this cluster: no pod needs a token, and no Service an endpoint.
			"--disable-admission-plugins=ServiceAccount",
			"--endpoint-reconciler-type=none",
			"--service-cluster-ip-range=10.96.0.0/16",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file="+c.pki.serviceAccountKeyFile,
			"--service-account-signing-key-file="+c.pki.serviceAccountKeyFile,
			"--requestheader-client-ca-file="+c.pki.frontProxyCA.certFile,
			"--requestheader-allowed-names="+frontProxyName,
			"--requestheader-username-headers=X-Remote-User",
			"--requestheader-uid-headers=X-Remote-Uid",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file="+c.pki.frontProxy.certFile,
			"--proxy-client-key-file="+c.pki.frontProxy.keyFile,
			// An APIService may then name a Service of type ExternalName, which is how a server on loopback is reached.
			"--enable-aggregator-routing=false",
			"--audit-policy-file="+policy,
			"--audit-log-path="+c.path("logs", "audit.log"),
		)
		if err != nil {
			return nil, err
		}
		return p, until(ctx, p, func() error { return c.get(ctx, c.server+"/readyz", nil) })
	})
	if err != nil {
		return err
	}
	return c.writeKubeconfig(c.kubeconfig(), c.pki.admin)
}

func (c *cluster) startManager(ctx context.Context) error {
	kubeconfig := c.path("pki", "controller-manager.kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, c.pki.manager); err != nil {
		return err
	}
	p, err := c.spawn("kube-controller-manager", os.Getenv("KUBE_CONTROLLER_MANAGER"), nil,
		"--kubeconfig="+kubeconfig,
		// Those without which a deleted namespace stays, `view` is empty, and quota and ownership mean nothing.
		"--controllers=namespace-controller,clusterrole-aggregation-controller,garbage-collector-controller,resourcequota-controller",
		"--leader-elect=false",
		"--secure-port=0",
	)
	if err != nil {
		return err
	}
	// It serves nothing to ask, so its work is what tells that it runs.
	return until(ctx, p, func() error {
		var view struct{ Rules []any }
		if err := c.get(ctx, c.server+"/apis/rbac.authorization.k8s.io/v1/clusterroles/view", &view); err != nil {
			return err
		}
		if len(view.Rules) == 0 {
			return errors.New("ClusterRole view has no rules yet")
		}
		return nil
	})
}

var registryListens = regexp.MustCompile(`listening on ([0-9.]+:[0-9]+)`)

// startRegistry lets the registry choose its port itself, and reads from its log which one it is.
func (c *cluster) startRegistry(ctx context.Context, address string) error {
	if !isFree(address) {
		address = "127.0.0.1:0"
	}
	config, err := c.configureRegistry(address)
	if err != nil {
		return err
	}
	// Without the variable it reports traces to a collector that is not there.
	p, err := c.spawn("registry", os.Getenv("REGISTRY"), []string{"OTEL_TRACES_EXPORTER=none"}, "serve", config)
	if err != nil {
		return err
	}
	err = until(ctx, p, func() error {
		log, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		found := registryListens.FindSubmatch(log)
		if found == nil {
			return errors.New("it does not listen yet")
		}
		c.registry = string(found[1])
		return c.get(ctx, "http://"+c.registry+"/v2/", nil)
	})
	if err != nil && p.hasEnded() && p.lostItsPort() && address != "127.0.0.1:0" {
		return c.startRegistry(ctx, "127.0.0.1:0")
	}
	return err
}

// configureRegistry writes the registry's configuration, and returns its file.
func (c *cluster) configureRegistry(address string) (string, error) {
	text := fmt.Sprintf(`{"version": "0.1", "log": {"level": "info", "accesslog": {"disabled": false}},
  "storage": {"filesystem": {"rootdirectory": %q}, "delete": {"enabled": true}}, "http": {"addr": %q}}`,
		c.path("registry"), address)
	config := c.path("registry.yaml")
	return config, os.WriteFile(config, []byte(text), 0o600)
}

// announce tells whoever started us where everything is.
func (c *cluster) announce(to io.Writer) error {
	_, err := fmt.Fprintf(to, "KUBECONFIG=%s\nKUBECTL=%s\nREGISTRY_ADDRESS=%s\nSEED=%s\nLOGS=%s\nREADY=1\n",
		c.kubeconfig(), os.Getenv("KUBECTL"), c.registry, os.Getenv("SEED"), c.path("logs"))
	return err
}

// wait returns when ctx is done, or with an error when a child ends before that. Until then it restarts those that it
// is told to.
func (c *cluster) wait(ctx context.Context, restarts <-chan string, to io.Writer) error {
	ended := make(chan *process)
	follow := func(p *process) {
		<-p.ended
		select {
		case ended <- p:
		case <-ctx.Done():
		}
	}
	for _, p := range c.processes {
		go follow(p)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-ended:
			if !p.replaced {
				return p.failure()
			}
		case name := <-restarts:
			p, err := c.restart(name)
			if err != nil {
				return err
			}
			go follow(p)
			if _, err := fmt.Fprintf(to, "RESTARTED=%s\n", name); err != nil {
				return err
			}
		}
	}
}

// restart kills a component and starts it again. Call it from the main goroutine only: see init in main.go.
func (c *cluster) restart(name string) (*process, error) {
	for i, old := range c.processes {
		if old.name != name {
			continue
		}
		old.replaced = true
		old.kill()
		c.processes = append(c.processes[:i:i], c.processes[i+1:]...)
		if name == "registry" {
			// It chose its port itself, and has to keep it.
			if _, err := c.configureRegistry(c.registry); err != nil {
				return nil, err
			}
		}
		return c.spawn(name, old.cmd.Path, old.env, old.cmd.Args[1:]...)
	}
	return nil, fmt.Errorf("there is no component %q to restart", name)
}

func (c *cluster) killAll() {
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].kill()
	}
}

// clean removes what is large or secret, and leaves the logs.
func (c *cluster) clean() {
	for _, name := range []string{"etcd", "registry", "pki"} {
		if err := os.RemoveAll(c.path(name)); err != nil {
			fmt.Fprintln(os.Stderr, "control plane:", err)
		}
	}
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

// writeKubeconfig writes JSON, which is YAML.
func (c *cluster) writeKubeconfig(file string, user pair) error {
	type named map[string]any
	content, err := json.MarshalIndent(named{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []named{{"name": "tagscope", "cluster": named{
			"server": c.server, "certificate-authority-data": c.pki.ca.certPEM,
		}}},
		"users": []named{{"name": "tagscope", "user": named{
			"client-certificate-data": user.certPEM, "client-key-data": user.keyPEM,
		}}},
		"contexts":        []named{{"name": "tagscope", "context": named{"cluster": "tagscope", "user": "tagscope"}}},
		"current-context": "tagscope",
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

// get asks as the administrator, wants status 200, and decodes the answer when into is not nil.
func (c *cluster) get(ctx context.Context, address string, into any) error {
	roots := x509.NewCertPool()
	roots.AddCert(c.pki.ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.pki.admin.cert.Raw}, PrivateKey: c.pki.admin.key}},
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", address, response.Status, strings.TrimSpace(string(body)))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// onFreePorts starts again on other ports when the ones it was given were taken before they could be used.
func onFreePorts(n int, start func([]int) (*process, error)) error {
	for attempt := 1; ; attempt++ {
		ports, err := freePorts(n)
		if err != nil {
			return err
		}
		p, err := start(ports)
		if err == nil || p == nil || attempt == attempts || !p.hasEnded() || !p.lostItsPort() {
			return err
		}
	}
}

// until probes until it succeeds, p ends or ctx is done.
func until(ctx context.Context, p *process, probe func() error) error {
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", p.name, context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func url(scheme string, port int) string {
	return scheme + "://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
