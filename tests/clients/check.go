package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// bench is what a check has to work with.
type bench struct {
	config    *rest.Config
	namespace string
	// Of the server itself, when it is to be asked directly.
	direct, cert, key string
}

var checks = map[string]func(context.Context, *bench) error{
	"pager":              checkPager,
	"expired-page":       checkExpiredPage,
	"sync":               checkSync,
	"metadata":           checkMetadata,
	"discovery":          checkDiscovery,
	"openapi":            checkOpenAPI,
	"errors":             checkErrors,
	"watch-errors":       checkWatchErrors,
	"until":              checkUntil,
	"table":              checkTable,
	"controller-runtime": checkControllerRuntime,
	"cancelled-probes":   checkCancelledProbes,
}

func (b *bench) dynamic() (dynamic.Interface, error) { return dynamic.NewForConfig(b.config) }

// as is a configuration that impersonates a user without groups.
func (b *bench) as(user string) *rest.Config {
	config := rest.CopyConfig(b.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	return config
}

// overheard is a configuration whose requests are noted as the Accept header and the Content-Type of the answer.
func (b *bench) overheard() (*rest.Config, *notes) {
	n := &notes{}
	config := rest.CopyConfig(b.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.lines = append(n.lines, note{request.URL.RequestURI(), request.Header.Get("Accept"), response.StatusCode, response.Header.Get("Content-Type")})
			}
			return response, err
		})
	})
	return config, n
}

type note struct {
	uri, accept string
	status      int
	contentType string
}

type notes struct {
	mu    sync.Mutex
	lines []note
}

func (n *notes) all() []note {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]note(nil), n.lines...)
}

// expect is an error unless the condition holds.
func expect(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}
