package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"k8s.io/client-go/rest"
)

// stall opens a watch of everything on a connection of its own, and reads nothing of it until ctx ends.
func stall(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	// Over HTTP/2 the client would read on behalf of the stream.
	config.NextProtos = []string{"http/1.1"}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := connection.(*net.TCPConn); ok {
			// As little as possible waits on this side.
			_ = tcp.SetReadBuffer(4 << 10)
		}
		return connection, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	url := config.Host + "/apis/" + groupVersion.String() + "/imagetags?watch=1"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a watch that is not read: %s", response.Status)
	}
	return nil
}
